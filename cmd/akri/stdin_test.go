package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
)

// Ctrl-C ends a command that waits for its input.
func TestInterruptedInput(t *testing.T) {
	never, writer := io.Pipe()
	defer writer.Close()
	for _, args := range []string{"discover onvif --credentials -", "discover opcua --details -", "discover -f -", "check -f -"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cmd := newAkriCommand()
		cmd.SetIn(never)
		cmd.SetArgs(strings.Fields(args))
		err := cmd.ExecuteContext(ctx)
		if code, _ := cli.ExitCode(ctx, err); !errors.Is(err, context.Canceled) || code != exitcode.Interrupted {
			t.Errorf("%s: %v, exit code %d", args, err, code)
		}
	}
}
