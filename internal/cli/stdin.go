package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

// Interruptible has a command, and all below it, end while it reads its input.
func Interruptible(cmd *cobra.Command) {
	cmd.PersistentPreRun = func(called *cobra.Command, _ []string) {
		called.SetIn(untilDone{called.Context(), called.InOrStdin()})
	}
}

// untilDone reads as another reader does, and fails when ctx is done: a read of a
// terminal or a pipe waits for as long as nobody writes, and Ctrl-C must end the
// program nevertheless. What the other reader reads after that is lost.
type untilDone struct {
	ctx context.Context
	in  io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	buffer, ended := make([]byte, len(p)), make(chan result, 1)
	go func() {
		n, err := r.in.Read(buffer)
		ended <- result{n, err}
	}()
	select {
	case e := <-ended:
		return copy(p, buffer[:e.n]), e.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}
