package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/agent"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/trim"
	"github.com/akri-go/akri/internal/version"
)

const usage = `akri-agent is the agent of one Kubernetes node. It finds the devices of the node
through discovery handlers, writes their Instances and offers them to the kubelet.
It normally runs as a DaemonSet, which the Helm chart installs.

Usage:
  akri-agent [flags]

It serves /metrics, /healthz and /readyz, and runs until it gets SIGTERM.
--version tells which build this is.

%s

Flags (with the environment variables that they default to):
`

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "akri-agent", version.String())
		return exitcode.OK
	}
	s, err := parse(args, getenv, out)
	if err == nil {
		err = s.finish(getenv, errs)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "akri-agent: %v\nakri-agent --help tells more.\n", err)
		return exitcode.Usage
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50) // memory matters more here than CPU
	}
	bounded.Memory(getenv)
	defer trim.Start(ctx, s.Logger)()
	if s.API, err = kubeconfig.Load(s.kubeconfig); err == nil {
		err = agent.Run(ctx, s.Options)
	}
	if err != nil {
		s.Logger.Error("akri-agent ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}
