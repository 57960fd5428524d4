// Command keadm makes join tokens for edge nodes, and makes a machine an edge
// node.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/akri-go/akri/internal/exitcode"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	code := exitcode.Of(err)
	if code == exitcode.Failed && ctx.Err() != nil {
		code = exitcode.Interrupted
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "keadm:", err)
	}
	os.Exit(code)
}
