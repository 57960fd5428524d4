package node

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/internal/backoff"
)

const (
	// holdFirst is for how long a node is left alone when its agent has come
	// back by itself; it doubles each time until it is holdMax.
	holdFirst = time.Minute
	holdMax   = 64 * time.Minute
	// forgetAfter bounds the memory of nodes that nobody asks about any more.
	forgetAfter = 3 * time.Hour
)

// health remembers of the nodes that are not ready, or gone, how long they
// have been seen so.
type health struct {
	// maxGap is the longest time between two looks that counts: if there is
	// more, nobody knows what was in between.
	maxGap time.Duration

	mu    sync.Mutex
	nodes map[string]*absence
}

// absence is one time without interruption that a node was away or gone.
type absence struct {
	uid    types.UID // of the Node; empty if it is gone
	away   time.Duration
	hold   time.Duration
	seen   time.Time // the last look; zero after an interruption
	looked time.Time
	// comebacks is how often the node's agent came back.
	comebacks int
	// left are the Instances that the node was removed from.
	left map[types.NamespacedName]bool
}

// look notes that a node was seen to be away, or gone if there is no UID, and
// returns what is known of it.
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
	if gap := now.Sub(a.seen); !a.seen.IsZero() && gap > 0 && gap <= h.maxGap {
		a.away += gap
		a.hold = max(0, a.hold-gap)
	}
	a.seen, a.looked = now, now
	return a.node(name)
}

func (a *absence) node(name string) Node {
	return Node{Name: name, Gone: a.uid == "", Away: a.away, Hold: a.hold}
}

// interrupt makes the time until the next look not count.
func (h *health) interrupt(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.nodes[name]; a != nil {
		a.seen = time.Time{}
	}
}

// forget ends an absence, and tells whether the node was removed from Instances
// during it.
func (h *health) forget(name string) (lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.nodes[name]
	delete(h.nodes, name)
	return a != nil && (len(a.left) > 0 || a.comebacks > 0)
}

// lost returns those of the nodes that are lost, as far as is known.
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

// removed notes that a node was removed from an Instance.
func (h *health) removed(name string, instance types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.nodes[name]; a != nil {
		a.left[instance] = true
	}
}

// cameBack tells whether a node, which is in an Instance now, had been removed
// from it during its absence: only its agent can have put it back. The node is
// left alone then for the time that is returned.
func (h *health) cameBack(name string, instance types.NamespacedName) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.nodes[name]
	if a == nil || !a.left[instance] {
		return 0, false
	}
	a.comebacks++
	a.hold = backoff.Backoff{First: holdFirst, Max: holdMax}.Delay(a.comebacks)
	clear(a.left)
	return a.hold, true
}
