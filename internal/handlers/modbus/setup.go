package modbus

import (
	"flag"
	"fmt"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// Setup is the handler's [setup.Func]. All that can be chosen is in the
// discoveryDetails.
func Setup(*flag.FlagSet, func(string) string) setup.New {
	return func(p setup.Program) (discovery.Handler, error) {
		looked, err := p.Histogram(lookSeconds())
		if err != nil {
			return nil, fmt.Errorf("add a histogram: %w", err)
		}
		return New(Options{Log: p.Log, Looked: looked}), nil
	}
}

// lookSeconds is the histogram of what [Options].Looked is told.
func lookSeconds() handlermetrics.Definition {
	return handlermetrics.Definition{
		Name:    "akri_modbus_look_seconds",
		Help:    "Seconds that a look at a Modbus server took, with all units that it asked for, successful or not.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 6, 15, 60},
	}
}
