package sync

import (
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
)

// maxRefusals is how many interests are remembered that cloudcore has refused.
const maxRefusals = 1000

// refusals are the interests that cloudcore has refused in a session. Each is
// asked for again later and later, however often clients want it: to refuse one
// costs cloudcore several questions, and the client that waits seconds.
type refusals struct {
	retry backoff.Backoff
	all   map[edgev1.Interest]refused
}

// refused is one of them.
type refused struct {
	why   error
	times int // in a row
	until time.Time
}

// add notes a refusal, and returns how long it counts.
func (r *refusals) add(what edgev1.Interest, why error, now time.Time) time.Duration {
	if r.all == nil {
		r.all = map[edgev1.Interest]refused{}
	}
	times := r.all[what].times + 1
	wait := r.retry.Delay(times)
	delete(r.all, what)
	if len(r.all) >= maxRefusals {
		r.dropOldest()
	}
	r.all[what] = refused{why, times, now.Add(wait)}
	return wait
}

func (r *refusals) dropOldest() {
	var oldest edgev1.Interest
	var until time.Time
	for what, f := range r.all {
		if until.IsZero() || f.until.Before(until) {
			oldest, until = what, f.until
		}
	}
	delete(r.all, oldest)
}

// of returns why an interest is not asked for now; nil if it may be.
func (r *refusals) of(what edgev1.Interest, now time.Time) error {
	if f := r.all[what]; now.Before(f.until) {
		return f.why
	}
	return nil
}

// forget notes that an interest is granted.
func (r *refusals) forget(what edgev1.Interest) { delete(r.all, what) }
