package charthook

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// finalError is an error that a retry does not help.
type finalError struct{ error }

func final(err error) error { return finalError{err} }

func (e finalError) Unwrap() error { return e.error }

// until calls step, which says what is still missing, until nothing is.
// Temporary errors are retried. When ctx ends, it returns what was missing
// last.
func until(ctx context.Context, what string, step func() (missing string, err error)) error {
	t := time.NewTicker(pollInterval)
	defer t.Stop()
	last := ""
	for {
		missing, err := step()
		switch {
		case err == nil && missing == "":
			return nil
		case hopeless(err):
			return fmt.Errorf("%s: %w", what, err)
		case err == nil:
			last = missing
		case ctx.Err() == nil: // else the call ended because ctx did
			last = err.Error()
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %s (%w)", what, last, context.Cause(ctx))
		}
	}
}

// hopeless reports whether an error would be the same after a retry.
func hopeless(err error) bool {
	var f finalError
	return errors.As(err, &f) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) ||
		apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err)
}
