package inventory

import (
	"context"
	"time"

	"github.com/akri-go/akri/internal/pace"
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
	saves := pace.Pace{MinInterval: saveInterval, MaxInterval: maxSaveInterval}
	for {
		select {
		case <-ctx.Done():
			v.save()
			return nil
		case <-v.wake:
		case <-v.beat:
		case <-timer.C:
		}
		if began := time.Now(); saves.Wait(began) == 0 && v.save() {
			saves.Done(began, time.Now())
		}
		timer.Reset(v.due())
	}
}

const (
	// saveInterval is the time between two writes of the store, which is only
	// read after a restart.
	saveInterval = time.Second
	// maxSaveInterval is what that time doubles to while something changes all
	// the time, such as a reading: disks wear out.
	maxSaveInterval = 32 * time.Second
)

// due ends the grace periods that are over and returns how long to wait for
// the next.
func (v *Inventory) due() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	up, counting := v.opts.UpTime.Elapsed()
	wait := time.Hour
	for _, c := range v.configurations {
		if c.next != 0 && c.next <= up {
			v.plan(c)
			v.dirty = true
		}
		if c.next != 0 {
			wait = min(wait, c.next-up)
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
