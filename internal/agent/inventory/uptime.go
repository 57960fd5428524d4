package inventory

import (
	"sync"
	"time"
)

// UpTime counts the time in which the API server was reachable. The zero value
// is at zero and does not count until Set(true).
type UpTime struct {
	mu    sync.Mutex
	total time.Duration
	since time.Time // zero while down
}

// Set says whether the API server can be reached from now on.
func (u *UpTime) Set(up bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if !u.since.IsZero() {
		u.total += now.Sub(u.since)
	}
	u.since = time.Time{}
	if up {
		u.since = now
	}
}

// Elapsed returns the time counted so far, and whether it counts now.
func (u *UpTime) Elapsed() (time.Duration, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since.IsZero() {
		return u.total, false
	}
	return u.total + time.Since(u.since), true
}
