package broker

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// slotReleasePeriod is how long the slots of a vanished broker count as ours:
// the agent's grace period of 20 s, and some.
const slotReleasePeriod = 30 * time.Second

// memory is what the reconciler remembers of one Instance: what the cache does
// not show yet, and what nothing in the API shows.
type memory struct {
	uid     types.UID // of the Instance
	hash    string    // of the spec that the history belongs to
	history History
	// bound are the nodes that had a broker which may hold slots; gone is when
	// it was first missing.
	bound map[string]bool
	gone  map[string]time.Time
	// created are Pods that were created but are not in the cache yet, by name;
	// deleted are those that were deleted.
	created map[string]types.UID
	deleted map[types.UID]bool
	// noted are the notes of the last plan, so that each is reported once.
	noted map[Note]bool
	// taken is the name for which a foreign Pod was last reported.
	taken string
	first firstRun
}

func newMemory(uid types.UID) *memory {
	return &memory{
		uid:     uid,
		bound:   map[string]bool{},
		gone:    map[string]time.Time{},
		created: map[string]types.UID{},
		deleted: map[types.UID]bool{},
		noted:   map[Note]bool{},
	}
}

// observe records the current Pods, and marks those that were deleted but do
// not show it yet.
func (m *memory) observe(pods []Pod, now time.Time) {
	there := map[types.UID]bool{}
	bound := map[string]bool{}
	for i := range pods {
		there[pods[i].UID] = true
		if pods[i].Bound {
			bound[pods[i].Node] = true
		}
		if m.deleted[pods[i].UID] {
			pods[i].Terminating = true
		}
	}
	maps.DeleteFunc(m.deleted, func(uid types.UID, _ bool) bool { return !there[uid] })
	for n := range m.bound {
		if !bound[n] {
			m.gone[n] = now
		}
	}
	m.bound = bound
	maps.DeleteFunc(m.gone, func(n string, at time.Time) bool {
		return bound[n] || now.Sub(at) > slotReleasePeriod
	})
}

// unfail takes back a failure that a plan counted for a Pod that did not fail.
func (m *memory) unfail(pod *Pod, before History) {
	if m.history[pod.Node].Pod != pod.UID {
		return
	}
	if f, ok := before[pod.Node]; ok {
		m.history[pod.Node] = f
	} else {
		delete(m.history, pod.Node)
	}
}

// goneNodes returns the nodes whose broker vanished a moment ago.
func (m *memory) goneNodes() map[string]bool {
	out := make(map[string]bool, len(m.gone))
	for n := range m.gone {
		out[n] = true
	}
	return out
}

// fresh returns the notes that the last plan did not have, and remembers all.
func (m *memory) fresh(notes []Note) []Note {
	var out []Note
	next := make(map[Note]bool, len(notes))
	for _, n := range notes {
		if !m.noted[n] {
			out = append(out, n)
		}
		next[n] = true
	}
	m.noted = next
	return out
}
