package opcua

import (
	"flag"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// Setup is the handler's [setup.Func]. All that can be chosen is in the
// discoveryDetails.
func Setup(*flag.FlagSet, func(string) string) setup.New {
	return func(p setup.Program) (discovery.Handler, error) {
		return New(Options{Log: p.Log}), nil
	}
}
