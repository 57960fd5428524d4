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
	// Share, if it is not 0, is how many times as long as doing it the time to the
	// next is at least. Where it takes long, because there is much to do or others
	// have the processors, it is done less often.
	Share int

	last     time.Time // when it ended
	interval time.Duration
	row      int // how often it was done without quiet between
}

// Wait returns how long to wait before it may be done again.
func (p *Pace) Wait(now time.Time) time.Duration { return max(0, p.last.Add(p.interval).Sub(now)) }

// Done notes that it was done from one time to another. If it could have begun much
// earlier, there was a quiet time.
func (p *Pace) Done(began, ended time.Time) {
	if began.Sub(p.last) >= 2*p.interval {
		p.row = 0
	}
	p.row++
	p.interval = backoff.Backoff{First: p.MinInterval, Max: p.MaxInterval}.Delay(p.row)
	p.interval = max(p.interval, time.Duration(p.Share)*ended.Sub(began))
	p.last = ended
}
