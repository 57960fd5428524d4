package inventory

import (
	"context"
	"time"
)

// changed wakes Run.
func (v *Inventory) changed() {
	v.dirty = true
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Run ends grace periods and keeps the store up to date until ctx is done.
func (v *Inventory) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var saved time.Time
	for {
		select {
		case <-ctx.Done():
			v.save()
			return nil
		case <-v.wake:
		case <-v.beat:
		case <-timer.C:
		}
		// The store is for restarts: once a second is often enough.
		if time.Since(saved) >= saveInterval && v.save() {
			saved = time.Now()
		}
		timer.Reset(v.due())
	}
}

const saveInterval = time.Second

// due ends the grace periods that are over and returns how long to wait for
// the next.
func (v *Inventory) due() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	up, counting := v.opts.UpTime.Elapsed()
	wait := time.Hour
	for _, q := range v.requests {
		if q.next != 0 && q.next <= up {
			v.plan(q)
			v.dirty = true
		}
		if q.next != 0 {
			wait = min(wait, q.next-up)
		}
	}
	if !counting {
		wait = max(wait, time.Second)
	}
	if v.dirty {
		wait = min(wait, saveInterval)
	}
	return wait
}
