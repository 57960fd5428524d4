// Package pace spaces out what is done again and again for as long as there is
// cause for it: soon at first, then ever more rarely, and soon again after some
// quiet.
package pace

import "time"

// Pace is how often something is done. It is for one goroutine.
type Pace struct {
	// Least is the time between two times at first; it doubles up to Most.
	Least, Most time.Duration

	last  time.Time
	pause time.Duration
}

// Wait returns how long to wait until it may be done again.
func (p *Pace) Wait(now time.Time) time.Duration { return max(0, p.last.Add(p.pause).Sub(now)) }

// Done notes that it was done. There was quiet if it could have been done long
// before.
func (p *Pace) Done(now time.Time) {
	if now.Sub(p.last) < 2*p.pause {
		p.pause = min(2*p.pause, p.Most)
	} else {
		p.pause = p.Least
	}
	p.last = now
}
