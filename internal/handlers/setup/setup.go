// Package setup says how programs make the discovery handlers that they run:
// akri-discovery runs one, akri-agent its built-in ones, and akri discover the
// one that the user names.
//
// Each handler has a [Func]. Package all lists them.
package setup

import (
	"flag"
	"log/slog"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
)

// Program is what a program provides for a handler.
type Program struct {
	// Log is where the handler logs.
	Log *slog.Logger
	// Histogram adds a histogram to the program's metrics. observe counts a
	// duration and may be called by several goroutines.
	Histogram func(handlermetrics.Definition) (observe func(time.Duration), err error)
	// Counter adds a counter to them. Count counts one by a value of its label;
	// several goroutines may call it.
	Counter func(handlermetrics.CounterDefinition) (count func(value string), err error)
}

// Func adds the flags of a handler to those of a program. getenv reads the
// environment variables that they default to.
type Func func(flags *flag.FlagSet, getenv func(name string) string) New

// New makes the handler after the flags were parsed. An error means that a flag
// or an environment variable is wrong.
type New func(Program) (discovery.Handler, error)
