package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/exitcode"
)

// Ctrl-C ends a command that waits for its input.
func TestInterruptible(t *testing.T) {
	never, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := &cobra.Command{Use: "read", RunE: func(cmd *cobra.Command, _ []string) error {
		_, err := io.ReadAll(cmd.InOrStdin())
		return err
	}}
	Interruptible(cmd)
	cmd.SetIn(never)
	cmd.SetArgs(nil)
	err := cmd.ExecuteContext(ctx)
	if code, _ := ExitCode(ctx, err); !errors.Is(err, context.Canceled) || code != exitcode.Interrupted {
		t.Errorf("%v, exit code %d", err, code)
	}
	text, err := io.ReadAll(untilDone{t.Context(), strings.NewReader("whole")})
	if string(text) != "whole" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
