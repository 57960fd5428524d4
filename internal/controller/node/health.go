package node

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/internal/backoff"
)

const (
	// firstHoldPeriod is how long a node is left alone when its agent has come
	// back by itself. It doubles each time, up to maxHoldPeriod.
	firstHoldPeriod = time.Minute
	maxHoldPeriod   = 64 * time.Minute
	// forgetAfter bounds the memory of nodes that no longer matter.
	forgetAfter = 3 * time.Hour
)

// health remembers for how long nodes have been seen not ready or gone.
type health struct {
	// maxLookGap is the longest time between two looks that counts: in a longer
	// gap anything may have happened.
	maxLookGap time.Duration

	mu    sync.Mutex
	nodes map[string]*absence
}

// absence is one uninterrupted time in which a node was away or gone.
type absence struct {
	uid     types.UID // of the Node; empty if it is gone
	awayFor time.Duration
	holdFor time.Duration
	seen    time.Time // the last look; zero after an interruption
	looked  time.Time
	// comebacks is how often the node's agent came back by itself.
	comebacks int
	// left are the Instances that the node was removed from.
	left map[types.NamespacedName]bool
}

// look records that a node was seen away, or gone if uid is empty, and returns
// what is known of it.
func (h *health) look(name string, uid types.UID, now time.Time) Node {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.nodes, func(_ string, a *absence) bool { return now.Sub(a.looked) > forgetAfter })
	a := h.nodes[name]
	if a == nil || a.uid != uid {
		a = &absence{uid: uid, left: map[types.NamespacedName]bool{}}
		if h.nodes == nil {
			h.nodes = map[string]*absence{}
		}
		h.nodes[name] = a
	}
	if gap := now.Sub(a.seen); !a.seen.IsZero() && gap > 0 && gap <= h.maxLookGap {
		a.awayFor += gap
		a.holdFor = max(0, a.holdFor-gap)
	}
	a.seen, a.looked = now, now
	return a.node(name)
}

func (a *absence) node(name string) Node {
	return Node{Name: name, Gone: a.uid == "", AwayFor: a.awayFor, HoldFor: a.holdFor}
}

// interrupt makes the time until the next look not count.
func (h *health) interrupt(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.nodes[name]; a != nil {
		a.seen = time.Time{}
	}
}

// forget ends an absence, and reports whether the node was removed from
// Instances in it.
func (h *health) forget(name string) (lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.nodes[name]
	delete(h.nodes, name)
	return a != nil && (len(a.left) > 0 || a.comebacks > 0)
}

// lost returns which of the nodes are lost, as far as is known.
func (h *health) lost(names []string, g Grace) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out map[string]bool
	for _, n := range names {
		if a := h.nodes[n]; a != nil && a.node(n).Lost(g) {
			if out == nil {
				out = map[string]bool{}
			}
			out[n] = true
		}
	}
	return out
}

// removed records that a node was removed from an Instance.
func (h *health) removed(name string, instance types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.nodes[name]; a != nil {
		a.left[instance] = true
	}
}

// cameBack reports whether a node that an Instance names was removed from it
// earlier in this absence: only its agent can have added it again. The node is
// then left alone for the time that is returned.
func (h *health) cameBack(name string, instance types.NamespacedName) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.nodes[name]
	if a == nil || !a.left[instance] {
		return 0, false
	}
	a.comebacks++
	a.holdFor = backoff.Backoff{First: firstHoldPeriod, Max: maxHoldPeriod}.Delay(a.comebacks)
	clear(a.left)
	return a.holdFor, true
}
