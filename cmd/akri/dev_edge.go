package main

import (
	"context"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/exitcode"
)

// newEdgeCommand makes a command that does something to one edge node.
func newEdgeCommand(dir *string, cmd *cobra.Command, do func(context.Context, *devcluster.EdgeNode) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = cli.CompleteWith(func(_ context.Context, args []string) []string {
		c, err := devcluster.Open(*dir)
		if err != nil || len(args) > 0 {
			return nil
		}
		var names []string
		for i := range c.EdgeNodeCount() {
			names = append(names, devcluster.EdgeNodeName(i+1))
		}
		return names
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := devcluster.Open(*dir)
		if err != nil {
			return err
		}
		e, err := c.EdgeNodeByName(args[0])
		if err != nil {
			return exitcode.Usagef("%w", err)
		}
		return do(cmd.Context(), e)
	}
	return cmd
}

func newCutCommand(dir *string) *cobra.Command {
	return newEdgeCommand(dir, &cobra.Command{
		Use:   "cut NODE",
		Short: "Cut the link of an edge node",
		Long: `Cuts the link of an edge node, as if somebody had pulled the cable behind its
router: nothing arrives on either side, and neither is told. akri dev rejoin
undoes it.`,
	}, func(ctx context.Context, e *devcluster.EdgeNode) error { return e.Cut(ctx) })
}

func newRejoinCommand(dir *string) *cobra.Command {
	return newEdgeCommand(dir, &cobra.Command{
		Use:   "rejoin NODE",
		Short: "Mend the link that akri dev cut has cut",
	}, func(ctx context.Context, e *devcluster.EdgeNode) error { return e.Rejoin(ctx) })
}

func newPowerOffCommand(dir *string) *cobra.Command {
	return newEdgeCommand(dir, &cobra.Command{
		Use:   "poweroff NODE",
		Short: "Cut the power of an edge node",
		Long: `Cuts the power of an edge node: all that runs there ends at once, and its disk
stays. akri dev poweron starts it again.`,
	}, func(ctx context.Context, e *devcluster.EdgeNode) error { return e.PowerOff(ctx) })
}

func newPowerOnCommand(dir *string) *cobra.Command {
	return newEdgeCommand(dir, &cobra.Command{
		Use:   "poweron NODE",
		Short: "Start an edge node whose power akri dev poweroff has cut",
	}, func(ctx context.Context, e *devcluster.EdgeNode) error { return e.PowerOn(ctx) })
}

var rate = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?[kmg]?bit$`)

func newLinkCommand(dir *string) *cobra.Command {
	var l devcluster.Link
	cmd := newEdgeCommand(dir, &cobra.Command{
		Use:   "link NODE [--rate 2mbit] [--delay 300ms] [--loss 3]",
		Short: "Make the link of an edge node a bad one",
		Long: `Makes the link of an edge node slow, late or lossy, in both directions. Without
flags it is a good one again. It replaces what an earlier call has made of it.

  akri dev link akri-edge-1 --rate 2mbit --delay 300ms --loss 3`,
	}, func(ctx context.Context, e *devcluster.EdgeNode) error { return e.Degrade(ctx, l) })
	cmd.PreRunE = func(*cobra.Command, []string) error { // before the cluster is looked for
		switch {
		case l.Rate != "" && !rate.MatchString(l.Rate):
			return exitcode.Usagef("--rate is %q: want a number and bit, kbit, mbit or gbit", l.Rate)
		case l.Delay < 0 || l.Delay > time.Minute:
			return exitcode.Usagef("--delay is %s: want 0 to 1m", l.Delay)
		case l.Loss < 0 || l.Loss > 100:
			return exitcode.Usagef("--loss is %g: want 0 to 100 percent", l.Loss)
		}
		return nil
	}
	f := cmd.Flags()
	f.StringVar(&l.Rate, "rate", "", "bits a second, such as 512kbit or 2mbit; empty means as many as there can be")
	f.DurationVar(&l.Delay, "delay", 0, "how much later each packet arrives")
	f.Float64Var(&l.Loss, "loss", 0, "how many of 100 packets are lost")
	return cmd
}
