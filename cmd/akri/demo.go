package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/demo"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/edgedemo"
)

func newDemoCommand(dir *string) *cobra.Command {
	var (
		subject string
		listen  string
		remove  bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what Akri does, on this machine",
		Long: `Makes a cluster, builds and installs Akri, applies a Configuration for zram block
devices, which can be plugged, and shows devices, Instances and brokers as they
come and go, in the terminal and on the dashboard. A second page has the pictures
of cameras: of the machine's webcams or, if it has none, of simulated network
cameras.

When you quit, with q or Ctrl-C, it removes the cluster. A cluster that existed
before stays, with everything in it: the demo uses an installed Akri, and removes
only what it made itself. If something fails, the cluster stays, so that you can
read its logs.

Only this machine can reach the pages. With --listen :8080 others can too: the
dashboard with the token in the address that the demo prints, and the pictures at
the next port, without one. Without a terminal, or with CI=true, the demo
plugs one device, waits until its broker runs, unplugs it, waits until the broker
is gone, and leaves the cluster unless --rm is given. It needs root and a
checkout of the repository.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // they would disturb the table
			repo, err := kubebin.RepoRoot()
			if err != nil {
				return err
			}
			o := demo.Options{Dir: *dir, Repo: repo, Subject: subject, Out: cmd.OutOrStdout(), Remove: remove, Listen: listen, Sys: os.DirFS("/sys")}
			o.Terminal = terminal()
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&subject, "with", "", "what to show in the terminal: webcam or zram (default zram)")
	cli.CompleteValues(cmd, "with", "webcam", "zram")
	cmd.Flags().StringVar(&listen, "listen", "", "show the dashboard at this `address` of this machine, such as :8080")
	cmd.Flags().BoolVar(&remove, "rm", false, "remove the cluster at the end, even without a terminal")
	cmd.AddCommand(newEdgeDemoCommand(dir))
	return cmd
}

// terminal is the terminal of a person who watches, or nil.
func terminal() *os.File {
	if os.Getenv("CI") != "true" && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		return os.Stdin
	}
	return nil
}

func newEdgeDemoCommand(dir *string) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Show what edge nodes do, on this machine",
		Long: `Makes a cluster with two edge nodes, runs a small application on each, and shows what
the cluster and the nodes say, side by side. Keys cut and mend the links, cut the
power, and update the application; what happens is said in a line each.

When you quit, with q or Ctrl-C, it removes the cluster, unless it existed before.
Without a terminal, or with CI=true, it does all of that once, and leaves the cluster
unless --rm is given. It needs root and a checkout of the repository.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // they would disturb the screen
			repo, err := kubebin.RepoRoot()
			if err != nil {
				return err
			}
			return edgedemo.Run(cmd.Context(), edgedemo.Options{Dir: *dir, Repo: repo, Terminal: terminal(), Out: cmd.OutOrStdout(), Remove: remove})
		},
	}
	cmd.Flags().BoolVar(&remove, "rm", false, "remove the cluster at the end, even without a terminal")
	return cmd
}
