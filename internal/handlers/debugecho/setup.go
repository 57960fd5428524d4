package debugecho

import (
	"flag"
	"fmt"
	"strconv"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// sharedVariable has the same name in upstream.
const sharedVariable = "DEBUG_ECHO_INSTANCES_SHARED"

// Setup is the handler's [setup.Func].
func Setup(flags *flag.FlagSet, getenv func(string) string) setup.New {
	shared, bad := sharedFromEnv(getenv)
	flags.BoolVar(&shared, "shared", shared, "all nodes see the same devices ("+sharedVariable+")")
	return func(p setup.Program) (discovery.Handler, error) {
		if bad != nil {
			return nil, bad
		}
		return New(Options{Shared: shared, Log: p.Log}), nil
	}
}

// sharedFromEnv reads [sharedVariable], as strconv.ParseBool does. It is false if
// the variable is not set.
func sharedFromEnv(getenv func(string) string) (bool, error) {
	text := getenv(sharedVariable)
	if text == "" {
		return false, nil
	}
	shared, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %q is neither true nor false", sharedVariable, text)
	}
	return shared, nil
}
