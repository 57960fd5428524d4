package agents

import (
	"maps"
	"slices"
	"time"
)

const (
	// Every is the time between two looks at the Leases.
	Every = 5 * time.Second
	// patience is how long a Lease may stand still: what agents say that it is
	// good for.
	patience = 30 * time.Second
	// maxGap is the longest time between two looks that counts as having looked
	// all the while.
	maxGap = 3 * Every
)

// beat is one agent's Lease as it was last seen to move.
type beat struct {
	version string // resourceVersion
	moved   time.Time
	silent  bool
}

// beats are those of all agents, by node. Times are of the controller's own
// clock, so that no other clock matters.
type beats struct {
	nodes map[string]beat
	last  time.Time // when we looked last
}

// observe takes in the Leases that there are, node to resourceVersion, and
// returns the nodes whose agent has fallen silent or speaks again. After a time
// in which nobody could look all agents have their time anew.
func (b *beats) observe(leases map[string]string, now time.Time) (changed []string) {
	fresh := now.Sub(b.last) > maxGap
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
		// One that was deleted stands still too.
		version, there := leases[node]
		switch {
		case there && version != was.version:
			is = beat{version: version, moved: now}
		case fresh && !was.silent:
			is.moved = now
		case now.Sub(was.moved) >= patience:
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

// silent returns the silent nodes, and since when their Leases stand still.
func (b *beats) silent() map[string]time.Time {
	out := map[string]time.Time{}
	for node, is := range maps.All(b.nodes) {
		if is.silent {
			out[node] = is.moved
		}
	}
	return out
}
