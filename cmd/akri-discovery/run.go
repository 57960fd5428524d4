package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/setup"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/trim"
	"github.com/akri-go/akri/internal/version"
)

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "akri-discovery", version.String())
		return exitcode.OK
	}
	var (
		log      *slog.Logger
		metrics  handlermetrics.Metrics
		handlers []discovery.Handler
	)
	s, err := parse(args, getenv, out)
	if err == nil {
		log, err = logging.New(errs, s.level)
	}
	if err == nil {
		handlers, err = s.handlers(log, &metrics)
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
	defer trim.Start(ctx, log)()
	if err := serve(ctx, s, handlers, log, &metrics); err != nil {
		log.Error("akri-discovery ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

// handlers makes the handlers. Each has the same metrics, and a log that names it.
func (s settings) handlers(log *slog.Logger, metrics *handlermetrics.Metrics) ([]discovery.Handler, error) {
	var made []discovery.Handler
	for _, c := range s.chosen {
		own := log
		if len(s.chosen) > 1 {
			own = log.With("handler", c.name)
		}
		h, err := c.start(setup.Program{Log: own, Histogram: metrics.Histogram, Counter: metrics.Counter})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		made = append(made, h)
	}
	return made, nil
}
