// Command akri is the command-line tool: it runs a local cluster to try Akri
// on, shows this machine's devices, explains what is wrong in a cluster, and tests
// discovery handlers.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/version"
)

func main() { os.Exit(cli.Main(newAkriCommand())) }

func newAkriCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "akri",
		Short: "Try Akri, check Configurations, look at devices, find out why",
		Long: `akri makes devices into Kubernetes resources. This program shows which devices
can be found from this machine (USB devices, network cameras, OPC UA servers),
checks whether a Configuration would be accepted, explains what is wrong in a
cluster or shows it on a page, tests discovery handlers that you write, and makes
a local cluster to try Akri on. Only the last needs root.

akri completion --help says how to set up completion in your shell.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(
		newDevCommand(),
		newDiscoverCommand(),
		newCheckCommand(),
		newExplainCommand(),
		newDashboardCommand(),
		newHandlerCommand(),
		newVersionCommand(),
	)
	for _, sub := range cmd.Commands() {
		if sub.Name() != "dev" { // whose kubectl needs the terminal itself
			cli.Interruptible(sub)
		}
	}
	cli.Habits(cmd)
	return cmd
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "akri", version.String())
			return err
		},
	}
}
