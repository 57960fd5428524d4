package logging

import (
	"log/slog"
	"sync"
)

// Trouble is something that may go wrong again and again, as when a disk is
// full. It is logged when it begins and when it is over, not each time.
type Trouble struct {
	// What says what cannot be done, and what follows from that.
	What string

	mu   sync.Mutex
	last bool
}

// Is notes how it went: nil is well.
func (t *Trouble) Is(log *slog.Logger, err error) {
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
