package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/demo"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
)

func newDemoCommand(dir *string) *cobra.Command {
	var (
		subject string
		listen  string
		remove  bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show on this machine what Akri does",
		Long: `Makes a cluster, builds and installs Akri, applies a Configuration for webcams
if the machine has any, else for zram block devices, and shows devices, Instances
and brokers as they come and go, in the terminal and on a page.

At the end, with q or Ctrl-C, it removes the cluster. If the cluster was there
before, it stays with all that was in it: the demo uses an Akri that is installed,
and removes only what the demo itself has made. If something fails, the cluster
stays, so that you can read its logs.

Only this machine can reach the page. With --listen :8080 others can, too, and
then see which devices the cluster has. Without a terminal, or with CI=true, the
demo plugs one device, waits until its broker runs, unplugs it, waits until that
is gone, and leaves the cluster unless --rm is given. It needs root and a
checkout of the sources.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // they would run into the table
			repo, err := kubebin.RepoRoot()
			if err != nil {
				return err
			}
			o := demo.Options{Dir: *dir, Repo: repo, Subject: subject, Out: cmd.OutOrStdout(), Remove: remove, Listen: listen, Sys: os.DirFS("/sys")}
			if os.Getenv("CI") != "true" && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
				o.Terminal = os.Stdin
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&subject, "with", "", "what to show: webcam or zram (default: what the machine has)")
	completeValues(cmd, "with", "webcam", "zram")
	cmd.Flags().StringVar(&listen, "listen", "", "show the page at this `address` of this machine, as :8080")
	cmd.Flags().BoolVar(&remove, "rm", false, "remove the cluster at the end, without a terminal too")
	return cmd
}
