// Package pace limits how often something is done that has causes all the time:
// at short intervals at first, then at longer ones, and at short ones again
// after a quiet time.
package pace

import (
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

// Pace is how often something is done. It is for one goroutine.
type Pace struct {
	// MinInterval is the time between two times at first; it doubles up to
	// MaxInterval.
	MinInterval, MaxInterval time.Duration

	last     time.Time
	interval time.Duration
	row      int // how often it was done without quiet between
}

// Wait returns how long to wait before it may be done again.
func (p *Pace) Wait(now time.Time) time.Duration { return max(0, p.last.Add(p.interval).Sub(now)) }

// Done notes that it was done. If it could have been done much earlier, there
// was a quiet time.
func (p *Pace) Done(now time.Time) {
	if now.Sub(p.last) >= 2*p.interval {
		p.row = 0
	}
	p.row++
	p.interval = backoff.Backoff{First: p.MinInterval, Max: p.MaxInterval}.Delay(p.row)
	p.last = now
}
