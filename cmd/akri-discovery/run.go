package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/setup"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/probes"
	"github.com/akri-go/akri/internal/version"
)

const usage = `akri-discovery finds the devices of one protocol and tells the Akri agent of
this node about them.

Usage:
  akri-discovery [flags] <handler> [flags]

Handlers (akri-discovery <handler> --help tells more):
%s
It listens on the socket <directory>/<handler>.sock and registers on the agent's
socket <directory>/agent-registration.sock. It tries until an agent answers, and
registers again whenever the agent was restarted. The process needs no privileges,
only the group that the directory belongs to. It runs until it gets SIGTERM.
--version tells which build this is.

%s

Flags (with the environment variables that they default to):
`

const handlerUsage = `akri-discovery %[1]s finds %[2]s.
%[3]s

Usage:
  akri-discovery [flags] %[1]s [flags]

It runs until it gets SIGTERM. akri-discovery --help says how it meets the agent.

%[4]s

Flags (with the environment variables that they default to):
`

// settings are what flags and environment say.
type settings struct {
	directory, address, level string
	port, metricsPort         int
	name                      string    // the handler's
	start                     setup.New // makes it
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "akri-discovery", version.String())
		return exitcode.OK
	}
	var (
		log     *slog.Logger
		metrics handlermetrics.Metrics
		handler discovery.Handler
	)
	s, err := parse(args, getenv, out)
	if err == nil {
		log, err = logging.New(errs, s.level)
	}
	if err == nil {
		handler, err = s.start(setup.Program{Log: log, Histogram: metrics.Histogram, Counter: metrics.Counter})
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "akri-discovery: %v\nakri-discovery --help tells more.\n", err)
		return exitcode.Usage
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(25) // memory is dearer here than the little time
	}
	bounded.Memory(getenv)
	if err := serve(ctx, s, handler, log, &metrics); err != nil {
		log.Error("akri-discovery ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

// serve runs the handler, metrics and probes until ctx is done.
func serve(ctx context.Context, s settings, h discovery.Handler, log *slog.Logger, metrics http.Handler) error {
	var registered atomic.Bool
	opts := []discovery.Option{
		discovery.WithDirectory(s.directory), discovery.WithPort(s.port), discovery.WithLogger(log),
		discovery.WithRegistered(func() { registered.Store(true) }),
	}
	if s.address != "" {
		opts = append(opts, discovery.WithAddress(s.address))
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return discovery.Serve(ctx, h, opts...) })
	if s.metricsPort != 0 {
		group.Go(func() error {
			return probes.Serve(ctx, probes.Options{
				Address: net.JoinHostPort("", strconv.Itoa(s.metricsPort)),
				Metrics: metrics,
				Ready: func() error {
					if !registered.Load() {
						return errors.New("no agent has accepted the handler yet; the log says why")
					}
					return nil
				},
			})
		})
	}
	return group.Wait()
}

// parse reads flags and environment. Flags of the handler come after its name,
// all others before or after it.
func parse(args []string, getenv func(string) string, out io.Writer) (s settings, err error) {
	env := envvar.Or(getenv)
	flags := flag.NewFlagSet("akri-discovery", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.directory, "directory", env("DISCOVERY_HANDLERS_DIRECTORY", discovery.DefaultDirectory),
		"`folder` where agent and handlers meet (DISCOVERY_HANDLERS_DIRECTORY)")
	flags.StringVar(&s.address, "address", getenv("POD_IP"),
		"listen on this `IP` address instead of a socket; not encrypted (POD_IP)")
	flags.IntVar(&s.port, "port", discovery.DefaultPort, "`port` for --address")
	metrics, badMetrics := strconv.ParseUint(env("METRICS_PORT", "0"), 10, 16)
	flags.IntVar(&s.metricsPort, "metrics-port", int(metrics), "`port` of /metrics, /healthz and /readyz; 0 for none (METRICS_PORT)")
	flags.StringVar(&s.level, "log-level", env("LOG_LEVEL", "info"),
		"least `level` that is logged: debug, info, warn or error (LOG_LEVEL)")
	flags.Usage = func() {}

	exits := exitcode.ServiceText()
	help := fmt.Sprintf(usage, handlerList(), exits)
	err = flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		s.name = flags.Arg(0)
		kind, known := all.Find(s.name)
		if !known {
			return s, fmt.Errorf("there is no handler %q; choose %s", s.name, all.Names("or"))
		}
		help = fmt.Sprintf(handlerUsage, kind.Name, kind.Summary, kind.About, exits)
		s.start = kind.Setup(flags, getenv)
		err = flags.Parse(flags.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, help)
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil && s.name == "":
		err = fmt.Errorf("%w (flags of a handler follow its name)", err)
	case err != nil:
	case badMetrics != nil:
		err = fmt.Errorf("METRICS_PORT: %q is not a port", getenv("METRICS_PORT"))
	case s.metricsPort < 0 || s.metricsPort > 65535:
		err = fmt.Errorf("metrics port %d: want 0 to 65535", s.metricsPort)
	case s.name == "":
		err = errors.New("name the handler to run")
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q: name one handler", flags.Arg(0))
	}
	return s, err
}

// handlerList has a line for each handler.
func handlerList() string {
	var list strings.Builder
	for _, k := range all.Kinds() {
		fmt.Fprintf(&list, "  %-10s %s\n", k.Name, k.Summary)
	}
	return list.String()
}
