// Command keadm installs cloudcore in a cluster, makes join tokens for edge nodes,
// and makes a machine an edge node.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/version"
)

func main() { os.Exit(cli.Main(newCommand())) }

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keadm",
		Short: "Join edge nodes to a cluster",
		Long: `keadm joins machines to a Kubernetes cluster as edge nodes.

  keadm init                                             # where kubectl works
  keadm gettoken --edgenode-name shop-1 --print-join-command
  keadm join --cloudcore-ipport cloud.example.org:10000 --edgenode-name shop-1 --token ...
                                                         # on the machine, as root
  keadm reset                                            # the machine is nobody's again`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(newInitCommand(), newGetTokenCommand(), newJoinCommand(), newResetCommand(), newVersionCommand())
	cli.Interruptible(cmd)
	cli.Habits(cmd)
	return cmd
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "keadm", version.String())
			return err
		},
	}
}
