package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/keadm"
)

func newResetCommand() *cobra.Command {
	var (
		in    cluster
		here  keadm.ResetOptions
		force bool
	)
	cmd := &cobra.Command{
		Use:   "reset [NODE]",
		Short: "Make this machine no edge node, or shut one out of the cluster",
		Long: `Without NODE: on a machine that shall be no edge node any more, as root. It stops
edgecore and its kubelet, ends the node's Pods, and removes what they have stored,
the node's certificate, its store and its configuration. It asks before it does.
The programs and the container runtime with its images stay. It can be repeated.

With NODE, where kubectl works: it makes all certificates and join tokens that a
node has so far useless, and ends its connection within seconds, for a machine that
is lost or stolen. The Node and its Pods stay in the cluster; kubectl delete node
removes them. A new token lets the node join again.

KubeEdge's keadm reset edge is keadm reset here, without a name.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := only(cmd, "reset NODE is about the cluster", "force", "dir", "remote-runtime-endpoint"); err != nil {
					return err
				}
				if err := trust.ValidNode(args[0]); err != nil {
					return exitcode.AsUsage(err)
				}
				client, err := in.client()
				if err != nil {
					return err
				}
				return in.with(func(t *trust.Keeper) error {
					return keadm.ShutOut(cmd.Context(), t, client, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
				})
			}
			if err := only(cmd, "reset without NODE is about this machine", "kube-config", "namespace", "secret"); err != nil {
				return err
			}
			here.System = keadm.Here()
			if !force {
				if err := confirm(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), here.Plan()); err != nil {
					return err
				}
			}
			return keadm.Reset(cmd.Context(), here, cmd.OutOrStdout())
		},
	}
	in.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&force, "force", false, "do not ask")
	f.StringVar(&here.Dir, "dir", dirDefault, "`folder` of edgecore's configuration and certificates")
	f.StringVarP(&here.RuntimeEndpoint, "remote-runtime-endpoint", "p", "", "`socket` of the container runtime; without, that of the node's configuration")
	in.completions(cmd)
	cli.CompleteFlag(cmd, "dir")
	return cmd
}

// only refuses flags that have nothing to do with what is asked for.
func only(cmd *cobra.Command, why string, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return exitcode.Usagef("%s, and --%s is not: see %s --help", why, name, cmd.CommandPath())
		}
	}
	return nil
}

// maxAnswerBytes is how long an answer to a question may be.
const maxAnswerBytes = 64

// confirm asks a person.
func confirm(ctx context.Context, in io.Reader, out io.Writer, question string) error {
	fmt.Fprintf(out, "%s\nGo on? [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(in, maxAnswerBytes)).ReadString('\n')
	switch said := strings.ToLower(strings.TrimSpace(answer)); {
	case ctx.Err() != nil:
		return ctx.Err()
	case said == "y" || said == "yes":
		return nil
	case errors.Is(err, io.EOF): // nobody is there
		fmt.Fprintln(out)
		return exitcode.Usagef("nothing was done: answer y, or give --force")
	case err != nil:
		return err
	}
	return errors.New("nothing was done")
}
