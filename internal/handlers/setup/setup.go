// Package setup says how the programs of this project make the discovery
// handlers that they run: akri-discovery one of them, akri-agent its built-in
// ones, akri discover whichever it is asked for.
//
// Each handler has a [Func], which package all lists.
package setup

import (
	"flag"
	"log/slog"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
)

// Program is what a program gives to a handler that it runs.
type Program struct {
	// Log is where the handler logs.
	Log *slog.Logger
	// Histogram adds a histogram to the program's metrics. Observe counts a
	// duration; several goroutines may call it.
	Histogram func(handlermetrics.Definition) (observe func(time.Duration), err error)
	// Counter adds a counter to them. Count counts one by a value of its label;
	// several goroutines may call it.
	Counter func(handlermetrics.CounterDefinition) (count func(value string), err error)
}

// Func adds the flags of a handler to those of a program. Their defaults come
// from the environment, which getenv reads.
type Func func(flags *flag.FlagSet, getenv func(name string) string) New

// New makes the handler after the flags are parsed. An error means that a flag or
// a variable of the environment is wrong.
type New func(Program) (discovery.Handler, error)
