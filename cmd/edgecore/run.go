package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/edge"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/trim"
	"github.com/akri-go/akri/internal/version"
)

const usage = `edgecore keeps an edge node working, with the link to cloudcore and without it.
It normally runs as a systemd unit, which keadm join installs.

Usage:
  edgecore [run] [--config FILE]             runs until it gets SIGTERM
  edgecore status [--config FILE] [-o json]  tells what is going on at this node
  edgecore --minconfig                       prints a configuration with what has to be given
  edgecore --defaultconfig                   prints one with everything that can be given
  edgecore --version                         tells which build this is

%s
A configuration that cannot be used counts as a wrong call. edgecore status ends
with 1 if edgecore does not answer.

Flags:
`

// settings are what the arguments say.
type settings struct {
	command     string // run, status
	file        string
	output      string
	min, full   bool
	out, errors io.Writer
}

func parse(args []string, out, errs io.Writer) (settings, error) {
	s := settings{command: "run", out: out, errors: errs}
	if len(args) > 0 && (args[0] == "run" || args[0] == "status") {
		s.command, args = args[0], args[1:]
	}
	f := flag.NewFlagSet("edgecore", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.StringVar(&s.file, "config", config.DefaultFile, "configuration `file`")
	f.BoolVar(&s.min, "minconfig", false, "print a configuration with what has to be given")
	f.BoolVar(&s.full, "defaultconfig", false, "print a configuration with everything that can be given")
	f.StringVar(&s.output, "o", "", "of status: `format`, json or nothing")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, exitcode.ServiceText())
		f.SetOutput(out)
		f.PrintDefaults()
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case s.min && s.full:
		err = errors.New("--minconfig or --defaultconfig, not both")
	case s.command == "status" && (s.min || s.full):
		err = errors.New("status prints no configuration: edgecore --minconfig, or --defaultconfig")
	case s.output != "" && (s.output != "json" || s.command != "status"):
		err = fmt.Errorf("-o %q: want edgecore status -o json", s.output)
	}
	return s, exitcode.AsUsage(err)
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "edgecore", version.String())
		return exitcode.OK
	}
	s, err := parse(args, out, errs)
	if err == nil {
		err = s.do(ctx, getenv)
	}
	code := exitcode.Of(err)
	if code != exitcode.OK {
		fmt.Fprintf(errs, "edgecore: %v\n", err)
	}
	if code == exitcode.Usage {
		fmt.Fprintln(errs, "edgecore --help tells more.")
	}
	return code
}

func (s settings) do(ctx context.Context, getenv func(string) string) error {
	switch {
	case s.min:
		_, err := io.WriteString(s.out, config.Minimal())
		return err
	case s.full:
		text, err := config.Full()
		if err == nil {
			_, err = io.WriteString(s.out, text)
		}
		return err
	}
	c, err := config.Load(s.file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; keadm join makes this machine an edge node, and writes it", err)
		}
		return exitcode.AsUsage(err)
	}
	if s.command == "status" {
		return s.status(ctx, c)
	}
	log, err := logging.New(s.errors, c.LogLevel)
	if err != nil {
		return exitcode.AsUsage(err)
	}
	return s.serve(ctx, c, log, getenv)
}

func (s settings) serve(ctx context.Context, c config.Config, log *slog.Logger, getenv func(string) string) error {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50) // memory matters more here than CPU
	}
	bounded.Memory(getenv)
	defer trim.Start(ctx, log)()
	return edge.Run(ctx, c, log, s.errors)
}

func (s settings) status(ctx context.Context, c config.Config) error {
	r, err := status.Ask(ctx, c.StatusSocket)
	if err != nil {
		return err
	}
	if s.output == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err = io.WriteString(s.out, r.Text(time.Now()))
	return err
}
