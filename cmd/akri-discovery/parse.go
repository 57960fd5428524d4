package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/envvar"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/setup"
)

const usage = `akri-discovery finds the devices of one or more protocols and tells the Akri
agent of this node about them.

Usage:
  akri-discovery [flags] <handler> [flags] [<handler> [flags]]...

Handlers (akri-discovery <handler> --help tells more):
%s
Each handler listens on the socket <directory>/<handler>.sock and registers on the
agent's socket <directory>/agent-registration.sock. It tries until an agent answers,
and registers again whenever the agent was restarted. The process needs no privileges,
only the group that the directory belongs to. It runs until it gets SIGTERM.
--version tells which build this is.

Handlers that share a process take less memory than several processes. A handler that
cannot be served is tried again and holds up no other; the process ends when that is
so of all. They share rights, memory and fate: a process per handler keeps them apart.

%s

Flags (with the environment variables that they default to):
`

const handlerUsage = `akri-discovery %[1]s finds %[2]s.
%[3]s

Usage:
  akri-discovery [flags] %[1]s [flags]

It runs until it gets SIGTERM. akri-discovery --help says how it meets the agent, and
how one process runs several handlers.

%[4]s

Flags (with the environment variables that they default to):
`

// settings are what flags and environment say.
type settings struct {
	directory, address, level string
	port, metricsPort         int
	chosen                    []chosen
}

// chosen is a handler to run.
type chosen struct {
	name  string
	start setup.New // makes it
}

// parse reads flags and environment. Flags of a handler come after its name, and
// before the next one's; all others before or after any.
func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	env := envvar.Or(getenv)
	var s settings
	flags := flag.NewFlagSet("akri-discovery", flag.ContinueOnError)
	flags.StringVar(&s.directory, "directory", env("DISCOVERY_HANDLERS_DIRECTORY", discovery.DefaultDirectory),
		"`folder` where agent and handlers meet (DISCOVERY_HANDLERS_DIRECTORY)")
	flags.StringVar(&s.address, "address", getenv("POD_IP"),
		"listen on this `IP` address instead of a socket; not encrypted, and for one handler only (POD_IP)")
	flags.IntVar(&s.port, "port", discovery.DefaultPort, "`port` for --address")
	metrics, badMetrics := strconv.ParseUint(env("METRICS_PORT", "0"), 10, 16)
	flags.IntVar(&s.metricsPort, "metrics-port", int(metrics),
		"`port` of /metrics, /healthz and /readyz; 0 for none (METRICS_PORT)")
	flags.StringVar(&s.level, "log-level", env("LOG_LEVEL", "info"),
		"least `level` that is logged: debug, info, warn or error (LOG_LEVEL)")

	help := fmt.Sprintf(usage, handlerList(), exitcode.ServiceText())
	last, err := s.choose(flags, args, getenv, &help)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, help)
		last.SetOutput(out)
		last.PrintDefaults()
	case err != nil:
	case badMetrics != nil:
		err = fmt.Errorf("METRICS_PORT: %q is not a port", getenv("METRICS_PORT"))
	case s.metricsPort < 0 || s.metricsPort > 65535:
		err = fmt.Errorf("metrics port %d: want 0 to 65535", s.metricsPort)
	case len(s.chosen) == 0:
		err = errors.New("name the handler to run")
	case len(s.chosen) > 1 && s.address != "":
		err = fmt.Errorf("several handlers cannot listen on the address %s: "+
			"run a process for each, or leave --address and POD_IP away", s.address)
	}
	return s, err
}

// choose reads the program's flags and the handlers with theirs. It returns the
// flags that were read last, and sets help to the text on them.
func (s *settings) choose(program *flag.FlagSet, args []string, getenv func(string) string, help *string) (
	last *flag.FlagSet, err error,
) {
	last = with(program, "akri-discovery")
	if err := last.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			err = fmt.Errorf("%w (flags of a handler follow its name)", err)
		}
		return last, err
	}
	for last.NArg() > 0 {
		name := last.Arg(0)
		kind, known := all.Find(name)
		switch {
		case !known:
			return last, fmt.Errorf("there is no handler %q; choose %s", name, all.Names("or"))
		case slices.ContainsFunc(s.chosen, func(c chosen) bool { return c.name == name }):
			return last, fmt.Errorf("handler %s is named twice", name)
		}
		*help = fmt.Sprintf(handlerUsage, kind.Name, kind.Summary, kind.About, exitcode.ServiceText())
		rest := last.Args()[1:]
		last = with(program, name) // a set of its own: handlers may have flags of the same name
		s.chosen = append(s.chosen, chosen{name, kind.Setup(last, getenv)})
		if err := last.Parse(rest); err != nil {
			if !errors.Is(err, flag.ErrHelp) {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return last, err
		}
	}
	return last, nil
}

// with returns a new set that has the program's flags.
func with(program *flag.FlagSet, name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	program.VisitAll(func(f *flag.Flag) {
		flags.Var(f.Value, f.Name, f.Usage)
		flags.Lookup(f.Name).DefValue = f.DefValue // not what an earlier set has read
	})
	return flags
}

// handlerList has a line for each handler.
func handlerList() string {
	var list strings.Builder
	for _, k := range all.Kinds() {
		fmt.Fprintf(&list, "  %-10s %s\n", k.Name, k.Summary)
	}
	return list.String()
}
