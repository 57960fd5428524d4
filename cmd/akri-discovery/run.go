package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/debugecho"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/udev"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/probes"
	"github.com/akri-go/akri/internal/version"
)

const usage = `akri-discovery finds the devices of one protocol and tells the Akri agent of
this node about them.

Usage:
  akri-discovery [flags] udev|debugEcho

Handlers:
  udev       devices that the kernel knows, chosen by udev rules.
             Reads /sys, kernel uevents and, for rules on ENV or TAG, /run/udev.
             Leaves out what the node itself lives on: disks in use, consoles …
  debugEcho  pretended devices, listed in the Configuration, for tests. They go
             offline while /tmp/debug-echo-availability.txt contains OFFLINE.

It listens on the socket <directory>/<handler>.sock and registers on the agent's
socket <directory>/agent-registration.sock, again and again until an agent is
there, and anew whenever that was restarted. The process needs no privileges,
only the group that the directory belongs to. It runs until it gets SIGTERM.
Exit code: 0 then, 1 if it failed, 2 if it was called wrongly. --version tells
which build this is.

Flags (with the environment variables that they default to):
`

// settings are what flags and environment say.
type settings struct {
	directory, address, level string
	port, metricsPort         int
	shared                    bool
	nodeMounts                string
	allow                     []rule.Pattern
}

// handlers make the handlers that can be chosen. They are constructed on use.
// Each comes with what answers for /metrics.
func handlers(s settings, log *slog.Logger) map[string]func() (discovery.Handler, http.Handler) {
	return map[string]func() (discovery.Handler, http.Handler){
		"udev": func() (discovery.Handler, http.Handler) {
			delay := handlermetrics.Udev()
			return udev.New(udev.Options{Log: log, Reported: delay.Observe, NodeMounts: s.nodeMounts, Allow: s.allow}), handlermetrics.Handler(delay)
		},
		debugecho.Name: func() (discovery.Handler, http.Handler) {
			return debugecho.New(debugecho.Options{Shared: s.shared, Log: log}), handlermetrics.Handler()
		},
	}
}

// run does everything and returns the exit code: 2 if it was called wrongly.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Asked(args) {
		fmt.Fprintln(out, "akri-discovery", version.String())
		return 0
	}
	s, name, err := parse(args, getenv, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var level slog.Level
	if err == nil {
		err = level.UnmarshalText([]byte(s.level))
	}
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
	known := handlers(s, log)
	if err == nil && known[name] == nil {
		names := slices.Sorted(maps.Keys(known))
		err = fmt.Errorf("there is no handler %q; choose one of %s", name, strings.Join(names, ", "))
	}
	if err != nil {
		fmt.Fprintf(errs, "akri-discovery: %v\nakri-discovery --help tells more.\n", err)
		return 2
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(25) // memory is dearer here than the little time
	}
	bounded.Memory(getenv)
	handler, metrics := known[name]()
	if err := serve(ctx, s, handler, log, metrics); err != nil {
		log.Error("akri-discovery ends", "error", err)
		return 1
	}
	return 0
}

// serve runs the handler, and what shows how it is, until ctx is done.
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

func parse(args []string, getenv func(string) string, out io.Writer) (s settings, name string, err error) {
	env := func(name, fallback string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return fallback
	}
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
	shared, badShared := debugecho.SharedFromEnv(getenv)
	flags.BoolVar(&s.shared, "shared", shared,
		"debugEcho: all nodes see the same devices ("+debugecho.SharedVariable+")")
	flags.StringVar(&s.nodeMounts, "node-mounts", getenv("UDEV_NODE_MOUNTS"),
		"udev: `file` with the node's table of mounts, its /proc/1/mountinfo: disks in it are left out (UDEV_NODE_MOUNTS)")
	allow := flags.String("allow-node-devices", getenv("UDEV_ALLOW_NODE_DEVICES"),
		"udev: comma separated device nodes, or `patterns` of them, that are reported although the node lives on them (UDEV_ALLOW_NODE_DEVICES)")
	flags.Usage = func() {}

	// Flags may also follow the handler's name.
	err = flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		name = flags.Arg(0)
		err = flags.Parse(flags.Args()[1:])
	}
	var badAllow error
	if *allow != "" {
		s.allow, badAllow = udev.ParseAllow(strings.Split(*allow, ","))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil:
	case badShared != nil:
		err = badShared
	case badMetrics != nil:
		err = fmt.Errorf("METRICS_PORT: %q is not a port", getenv("METRICS_PORT"))
	case badAllow != nil:
		err = badAllow
	case s.metricsPort < 0 || s.metricsPort > 65535:
		err = fmt.Errorf("metrics port %d: want 0 to 65535", s.metricsPort)
	case name == "":
		err = errors.New("say which handler to run")
	case flags.NArg() > 0:
		err = fmt.Errorf("one handler is enough: what is %q for?", flags.Arg(0))
	}
	return s, name, err
}
