package logging

import (
	"log/slog"
	"sync"
)

// Problem is something that may fail repeatedly, such as writing to a full
// disk. It is logged when it begins and when it is over, not each time.
type Problem struct {
	// What says what cannot be done, and the consequence.
	What string

	mu   sync.Mutex
	last bool
}

// Is notes the result of an attempt; nil is a success.
func (t *Problem) Is(log *slog.Logger, err error) {
	t.mu.Lock()
	before := t.last
	t.last = err != nil
	t.mu.Unlock()
	switch {
	case err != nil && !before:
		log.Error(t.What, "error", err)
	case err != nil:
		log.Debug(t.What, "error", err)
	case before:
		log.Info("this works again", "what", t.What)
	}
}
