package checkpoint

import (
	"errors"
	"io/fs"
	"log/slog"
)

// Store keeps one state over restarts. [File] is one. Package checkpointtest
// has one for tests, and the test that all stores must pass.
type Store[T any] interface {
	// Load returns the state that was saved last. The error is fs.ErrNotExist
	// if there is none. Use [Restore], which knows what other errors mean.
	Load() (T, error)
	// Save replaces the state. It returns nil when the new state survives a
	// crash. After an error the store holds the old state or the new one,
	// whole.
	Save(T) error
}

// Restore returns the state that a store holds, and whether it holds one. If the
// state cannot be used, Restore logs that with its consequence and returns none:
// an agent without its old state is better than no agent. Store may be nil.
func Restore[T any](store Store[T], log *slog.Logger, consequence string) (state T, found bool) {
	if store == nil {
		return state, false
	}
	state, err := store.Load()
	if err == nil {
		return state, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		log.Error(consequence, "error", err)
	}
	var none T
	return none, false
}
