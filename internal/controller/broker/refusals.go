package broker

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Refusals remembers which Configurations have a broker spec that cannot be
// used: it does not parse, or the API server refuses what is made from it.
//
// All Instances of a Configuration share one back-off, so a spec that is
// refused for a thousand devices costs one request per back-off. It is kept in
// memory: after a restart the spec is tried again at once.
type Refusals struct {
	mu   sync.Mutex
	spec map[types.NamespacedName]*verdict
	// changed is called with each Configuration whose verdict changed.
	changed func(types.NamespacedName)
}

type verdict struct {
	hash    string
	message string // empty: accepted
	tries   int
	last    time.Time
}

// NewRefusals returns an empty memory. Changed is called, without locks held,
// with each Configuration whose verdict changed; it must not block.
func NewRefusals(changed func(configuration types.NamespacedName)) *Refusals {
	return &Refusals{spec: map[types.NamespacedName]*verdict{}, changed: changed}
}

// Verdict returns what is known of a Configuration's broker spec: whether it
// was tried since the start, and why it was refused, if it was.
func (r *Refusals) Verdict(configuration types.NamespacedName) (tried bool, refusal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.spec[configuration]
	if v == nil {
		return false, ""
	}
	return true, v.message
}

// try returns 0 if the spec may be tried now, or else how long to wait. While a
// spec is refused, one of several callers gets through.
func (r *Refusals) try(configuration types.NamespacedName, hash string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.spec[configuration]
	if v == nil || v.hash != hash || v.message == "" {
		return 0
	}
	f := Failure{Count: v.tries, Last: v.last}
	if wait := f.wait(now); wait > 0 {
		return wait
	}
	v.last = now
	return 0
}

// look returns 0 if a check may be made now whether something made from the
// spec can work, or else how long to wait. One of several callers gets through.
func (r *Refusals) look(configuration types.NamespacedName, hash string, now time.Time) time.Duration {
	if wait := r.try(configuration, hash, now); wait > 0 {
		return wait
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.spec[configuration]
	if v == nil || v.hash != hash || v.message != "" {
		return 0
	}
	if left := stuckCheckInterval - now.Sub(v.last); left > 0 {
		return min(left, stuckCheckInterval)
	}
	v.last = now
	return 0
}

// refuse records that a spec cannot be used, and reports whether that is new.
func (r *Refusals) refuse(configuration types.NamespacedName, hash, message string, now time.Time) bool {
	r.mu.Lock()
	v := r.spec[configuration]
	if v == nil || v.hash != hash {
		v = &verdict{hash: hash}
		r.spec[configuration] = v
	}
	news := v.message != message
	v.message, v.last = message, now
	v.tries++
	r.mu.Unlock()
	if news {
		r.changed(configuration)
	}
	return news
}

// accept records that a spec can be used.
func (r *Refusals) accept(configuration types.NamespacedName, hash string) {
	r.mu.Lock()
	v := r.spec[configuration]
	news := v == nil || v.hash != hash || v.message != ""
	if news {
		r.spec[configuration] = &verdict{hash: hash}
	}
	r.mu.Unlock()
	if news {
		r.changed(configuration)
	}
}

// clear forgets a Configuration that is gone or has no broker.
func (r *Refusals) clear(configuration types.NamespacedName) {
	r.mu.Lock()
	_, news := r.spec[configuration]
	delete(r.spec, configuration)
	r.mu.Unlock()
	if news {
		r.changed(configuration)
	}
}
