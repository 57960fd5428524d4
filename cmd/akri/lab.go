package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/labs"
)

func newLabCommand(dir *string) *cobra.Command {
	var names []string
	for _, l := range labs.All() {
		names = append(names, l.Name)
	}
	cmd := &cobra.Command{
		Use:   "lab " + strings.Join(names, "|"),
		Short: "Replay a laboratory of Akri's documents on this machine",
		Long: `Replays a document that shows Akri to an audience, step by step, on a cluster of
its own: the same commands and values, with the checks and marks of the document.
docs/labs has them for a real cluster.

  akri dev lab k3s         the lab "IoT at the Edge with K3s and Akri"
  akri dev lab microk8s    the workflow "Akri on MicroK8s", with its 16 steps

Without a camera on this machine, simulated network cameras stand in; each step
says where it differs. At the end the page with their pictures stays until Ctrl-C,
which removes everything. Without a terminal, or with CI=true, the lab ends after
its last step. It needs root and a checkout of the repository.`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, ok := labs.Find(args[0])
			if !ok {
				return exitcode.Usagef("there is no lab %q: choose %s", args[0], strings.Join(names, " or "))
			}
			rest.SetDefaultWarningHandler(rest.NoWarnings{})
			repo, err := kubebin.RepoRoot()
			if err != nil {
				return err
			}
			return labs.Run(cmd.Context(), lab, labs.Options{Dir: *dir, Repo: repo, Out: cmd.OutOrStdout(), Sys: os.DirFS("/sys"),
				Stay: os.Getenv("CI") != "true" && term.IsTerminal(int(os.Stdin.Fd()))})
		},
	}
	return cmd
}
