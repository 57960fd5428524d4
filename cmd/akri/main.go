// Command akri is the tool for a person's shell: a local cluster to try things
// on, and answers about this machine's devices.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newAkriCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "akri:", err)
		os.Exit(1)
	}
}

func newAkriCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "akri",
		Short:         "Devices as Kubernetes resources: try it, look into it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(
		newDevCommand(),
		newDiscoverCommand(),
		newCheckCommand(),
	)
	return cmd
}
