package agents

import (
	"maps"
	"slices"
	"time"
)

const (
	// LookInterval is the time between two looks at the Leases.
	LookInterval = 5 * time.Second
	// silentAfter is how long a Lease may stay unchanged: the duration that the
	// agents write into it.
	silentAfter = 30 * time.Second
	// maxLookGap is the longest gap between two looks that still counts as
	// continuous observation.
	maxLookGap = 3 * LookInterval
)

// beat is the last change of one agent's Lease.
type beat struct {
	version string // resourceVersion
	moved   time.Time
	silent  bool
}

// beats holds the Leases of all agents, by node. Times are from the
// controller's own clock, so other clocks do not matter.
type beats struct {
	nodes map[string]beat
	last  time.Time // the last look
}

// observe records the current Leases, node to resourceVersion, and returns the
// nodes whose agent fell silent or responds again. After a gap in observation
// all agents get the full time again.
func (b *beats) observe(leases map[string]string, now time.Time) (changed []string) {
	fresh := now.Sub(b.last) > maxLookGap
	b.last = now
	if b.nodes == nil {
		b.nodes = map[string]beat{}
	}
	for node, version := range leases {
		if _, known := b.nodes[node]; !known {
			b.nodes[node] = beat{version: version, moved: now}
		}
	}
	for node, was := range b.nodes {
		is := was
		// A deleted Lease is an unchanged one.
		version, there := leases[node]
		switch {
		case there && version != was.version:
			is = beat{version: version, moved: now}
		case fresh && !was.silent:
			is.moved = now
		case now.Sub(was.moved) >= silentAfter:
			is.silent = true
		}
		b.nodes[node] = is
		if is.silent != was.silent {
			changed = append(changed, node)
		}
	}
	slices.Sort(changed)
	return changed
}

// forget drops a node.
func (b *beats) forget(node string) { delete(b.nodes, node) }

// silent returns the silent nodes, and since when their Leases are unchanged.
func (b *beats) silent() map[string]time.Time {
	out := map[string]time.Time{}
	for node, is := range maps.All(b.nodes) {
		if is.silent {
			out[node] = is.moved
		}
	}
	return out
}
