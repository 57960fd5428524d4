package charthook

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// finalError is one that trying again does not help against.
type finalError struct{ error }

func final(err error) error { return finalError{err} }

func (e finalError) Unwrap() error { return e.error }

// until calls step, which says what is still missing, until nothing is. An
// error that may pass is tried again; ctx ends it all, with what was missing
// last.
func until(ctx context.Context, what string, step func() (missing string, err error)) error {
	t := time.NewTicker(tick)
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

// hopeless tells whether an error stays when the call is made again.
func hopeless(err error) bool {
	var f finalError
	return errors.As(err, &f) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) ||
		apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err)
}
