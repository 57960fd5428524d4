package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/exitcode"
)

// Main runs a program's command until it is done, or Ctrl-C or SIGTERM ends it.
// It says what is wrong and returns the exit code.
func Main(cmd *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	code, say := ExitCode(ctx, cmd.ExecuteContext(ctx))
	if say != "" {
		fmt.Fprintf(os.Stderr, "%s: %s\n", cmd.Name(), say)
	}
	return code
}

// ExitText is [exitcode.Text] for commands that end when they are done.
func ExitText(ok, failed string) string {
	return exitcode.Text(ok, failed) + fmt.Sprintf("\n  %d  it was interrupted, by Ctrl-C", exitcode.Interrupted)
}

// ExitError ends the program with this exit code, and says nothing: whoever is
// to know has been told.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ExitCode returns the code for an error, and what to print about it.
func ExitCode(ctx context.Context, err error) (code int, say string) {
	var exit ExitError
	switch {
	case err == nil:
		return exitcode.OK, ""
	case errors.As(err, &exit):
		return int(exit), ""
	}
	code, say = exitcode.Of(err), err.Error()
	if code == exitcode.Failed && ctx.Err() != nil {
		code = exitcode.Interrupted
		say = strings.ReplaceAll(say, context.Canceled.Error(), "interrupted")
	}
	return code, say
}
