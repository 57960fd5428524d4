package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/akri-go/akri/internal/charthook"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/logging"
)

// The subcommands that the chart's Jobs run.
const (
	crdsHook    = "crds"
	cleanupHook = "cleanup"
)

// hookSettings are a subcommand's flags and environment.
type hookSettings struct {
	kubeconfig, level  string
	namespace, release string
	timeout            time.Duration
}

// runHook runs a subcommand and returns the exit code.
func runHook(ctx context.Context, name string, args []string, getenv func(string) string, out, errs io.Writer) int {
	var log *slog.Logger
	s, err := parseHook(name, args, getenv, out)
	if err == nil {
		log, err = logging.New(errs, s.level)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "akri-controller %s: %v\nSee akri-controller %s --help.\n", name, err, name)
		return exitcode.Usage
	}
	cfg, err := kubeconfig.Load(s.kubeconfig)
	if err == nil {
		cfg.UserAgent = "akri-controller/" + name
		cfg.QPS = -1 // the API server does its own flow control
		if name == crdsHook {
			ctx, cancel := context.WithTimeout(ctx, s.timeout)
			defer cancel()
			err = charthook.UpdateCRDs(ctx, cfg, log)
		} else {
			err = charthook.Cleanup(ctx, charthook.CleanupOptions{
				Config: cfg, Log: log, Namespace: s.namespace, Release: s.release, Timeout: s.timeout,
			})
		}
	}
	if err != nil {
		log.Error("akri-controller "+name+" ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

func parseHook(name string, args []string, getenv func(string) string, out io.Writer) (hookSettings, error) {
	var s hookSettings
	flags := flag.NewFlagSet("akri-controller "+name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.kubeconfig, "kubeconfig", getenv("KUBECONFIG"), "`file` that says how to reach the API server, outside a cluster (KUBECONFIG)")
	flags.StringVar(&s.level, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
	flags.DurationVar(&s.timeout, "timeout", time.Minute, "how long (`time`) to wait")
	if name == cleanupHook {
		flags.StringVar(&s.namespace, "namespace", getenv("POD_NAMESPACE"), "`namespace` of the release (POD_NAMESPACE)")
		flags.StringVar(&s.release, "release", "", "`name` of the Helm release that is being uninstalled")
	}
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "Usage:\n  akri-controller %s [flags]\n\n%s\n\nFlags:\n", name, exitcode.Text("it succeeded", "it failed; the log says why"))
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil:
	case s.timeout <= 0:
		err = fmt.Errorf("timeout %v: want more than 0", s.timeout)
	case name == cleanupHook && (s.namespace == "" || s.release == ""):
		err = errors.New("it needs --release and --namespace: all Configurations of the cluster are deleted")
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s, err
}
