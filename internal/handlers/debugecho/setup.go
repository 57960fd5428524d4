package debugecho

import (
	"flag"
	"fmt"
	"strconv"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// sharedVariable is upstream's too.
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

// sharedFromEnv reads [sharedVariable]: 1, t, true, 0, f or false, in capitals
// or not. It is false if there is none.
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
