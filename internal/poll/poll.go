// Package poll waits for conditions that cannot be watched.
package poll

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Until calls check every interval until it returns nil or ctx is done. Then
// the error says what was waited for and what check returned last. An error of
// [Fatal] ends the wait at once.
func Until(ctx context.Context, what string, interval time.Duration, check func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		var fatal *fatalError
		if errors.As(err, &fatal) {
			return fmt.Errorf("%s: %w", what, fatal.err)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("interrupted while waiting until %s: %w", what, ctx.Err())
			}
			return fmt.Errorf("waiting until %s: %w (last: %v)", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Fatal marks an error of a check after which waiting is of no use.
func Fatal(err error) error { return &fatalError{err} }

type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }
