package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"k8s.io/klog/v2"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/cloud"
	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/trim"
	"github.com/akri-go/akri/internal/version"
)

const usage = `cloudcore is the cloud end of the links of edge nodes: they connect to it, get what
they may see of the cluster, and write to the cluster through it. It runs in the
cluster, as the Helm chart cloudcore installs it; each of several replicas serves a
part of the nodes.

Usage:
  cloudcore [flags]
  cloudcore --minconfig       print a configuration with the keys that people change
  cloudcore --defaultconfig   print the whole configuration, with comments

It serves /metrics, /healthz and /readyz, and runs until it gets SIGTERM.
--version prints the version.

%s

A configuration that cannot be used counts as a wrong call.

Flags (with the environment variables that set their defaults). They override what
the file of --config says:
`

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "cloudcore", version.String())
		return exitcode.OK
	}
	c, err := parse(args, getenv, out)
	var log *slog.Logger
	if err == nil {
		log, err = logging.New(errs, c.LogLevel)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "cloudcore: %v\nSee cloudcore --help.\n", err)
		return exitcode.Usage
	}
	bounded.Memory(getenv)
	klog.SetSlogLogger(log) // libraries have their own
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50) // memory matters more here than CPU
	}
	defer trim.Start(ctx, log)()
	o := cloud.Options{Config: c, Log: log}
	if o.API, err = kubeconfig.Load(c.Kubernetes.Kubeconfig); err == nil {
		o.API.UserAgent = "cloudcore/" + version.String()
		err = cloud.Run(ctx, o)
	}
	if err != nil {
		log.Error("cloudcore ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

// parse returns the configuration of file, flags and environment. What was asked
// to be printed is printed; then the error is [flag.ErrHelp].
func parse(args []string, getenv func(string) string, out io.Writer) (cloud.Config, error) {
	env := envvar.Or(getenv)
	c := cloud.Default()
	flags := flag.NewFlagSet("cloudcore", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", getenv("CLOUDCORE_CONFIG"), "`file` with the configuration (CLOUDCORE_CONFIG)")
	minimal := flags.Bool("minconfig", false, "print a configuration with the keys that people change, and end")
	whole := flags.Bool("defaultconfig", false, "print the whole configuration with its defaults, and end")
	// Flags and variables override what the file says, where they are set.
	var kubeconfigFile, namespace, level string
	flags.StringVar(&kubeconfigFile, "kubeconfig", getenv("KUBECONFIG"),
		"`file` that says how to reach the API server, outside a cluster (KUBECONFIG)")
	flags.StringVar(&namespace, "namespace", getenv("POD_NAMESPACE"), "`namespace` of the Secret (POD_NAMESPACE)")
	flags.StringVar(&level, "log-level", env("LOG_LEVEL", ""),
		"lowest `level` that is logged: debug, info, warn or error (LOG_LEVEL)")
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, exitcode.ServiceText())
		flags.SetOutput(out)
		flags.PrintDefaults()
		return c, err
	case err != nil:
		return c, err
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *minimal && *whole:
		return c, errors.New("--minconfig or --defaultconfig, not both")
	case *minimal:
		fmt.Fprint(out, cloud.MinText())
		return c, flag.ErrHelp
	case *whole:
		fmt.Fprint(out, cloud.DefaultText())
		return c, flag.ErrHelp
	case *file != "":
		if c, err = cloud.Load(*file); err != nil {
			return c, err
		}
	}
	for to, value := range map[*string]string{
		&c.Kubernetes.Kubeconfig: kubeconfigFile, &c.Kubernetes.Namespace: namespace, &c.LogLevel: level,
	} {
		if value != "" {
			*to = value
		}
	}
	return c, c.Check()
}
