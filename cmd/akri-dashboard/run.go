package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/dashboard"
	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/trim"
	"github.com/akri-go/akri/internal/version"
)

const usage = `akri-dashboard serves a page that shows nodes, devices and their users as they
change, and says why something is not as one wants it. It only reads the cluster.

Usage:
  akri-dashboard [flags]

Without a token it serves only on this machine, or to kubectl port-forward. It runs
until it gets SIGTERM. --version prints the version.

%s

Flags (with the environment variables that set their defaults):
`

// settings are the flags and environment.
type settings struct {
	kubeconfig, namespace, address, tokenFile, probeAddress, level string
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "akri-dashboard", version.String())
		return exitcode.OK
	}
	bounded.Memory(getenv)
	var log *slog.Logger
	s, err := parse(args, getenv, out)
	if err == nil {
		log, err = logging.New(errs, s.level)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "akri-dashboard: %v\nSee akri-dashboard --help.\n", err)
		return exitcode.Usage
	}
	// The libraries have their own loggers.
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50) // memory matters more here than CPU
	}
	defer trim.Start(ctx, log)()
	if err := serve(ctx, s, log); err != nil {
		log.Error("akri-dashboard ends", "error", err)
		return exitcode.Of(err)
	}
	return exitcode.OK
}

func serve(ctx context.Context, s settings, log *slog.Logger) error {
	o := dashboard.Options{Address: s.address, TokenFile: s.tokenFile, Namespace: s.namespace, ProbeAddress: s.probeAddress, Log: log}
	if o.ProbeAddress == "0" {
		o.ProbeAddress = ""
	}
	if err := o.Check(); err != nil {
		return err
	}
	cfg, err := kubeconfig.Load(s.kubeconfig)
	if err != nil {
		return err
	}
	o.Config = rest.CopyConfig(cfg)
	o.Config.UserAgent = "akri-dashboard"
	return dashboard.Run(ctx, o)
}

func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	env := envvar.Or(getenv)
	var s settings
	flags := flag.NewFlagSet("akri-dashboard", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.kubeconfig, "kubeconfig", getenv("KUBECONFIG"), "`file` that says how to reach the API server, outside a cluster (KUBECONFIG)")
	flags.StringVar(&s.namespace, "namespace", getenv("NAMESPACE"), "`namespace` that is shown of what may not be read in all namespaces (NAMESPACE)")
	flags.StringVar(&s.address, "listen", env("LISTEN", "127.0.0.1:8080"), "`address` of the page; without a token it must be on the loopback (LISTEN)")
	flags.StringVar(&s.tokenFile, "token-file", getenv("TOKEN_FILE"), "`file` with the token that a person needs, of at least 16 characters (TOKEN_FILE)")
	flags.StringVar(&s.probeAddress, "health-probe-address", env("HEALTH_PROBE_ADDRESS", ":8081"), "`address` for /healthz, /readyz and /metrics, 0 for none (HEALTH_PROBE_ADDRESS)")
	flags.StringVar(&s.level, "log-level", env("LOG_LEVEL", "info"), "lowest `level` that is logged: debug, info, warn or error (LOG_LEVEL)")
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, exitcode.ServiceText())
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s, err
}
