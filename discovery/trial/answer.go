package trial

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
)

const (
	maxNamed = 5 // ids that a text names
	// maxLists is how many lists one call may bring. A handler that sends more in
	// the time of a trial floods its agent.
	maxLists = 1000
)

// answer is what has come for one call so far.
type answer struct {
	lists   int                // how many
	first   time.Duration      // when the first one came
	devices []discovery.Device // of the last list
	bytes   int                // of the largest list on the wire
	refused string             // why a whole list cannot be used, "" if none
	same    int                // lists with the same devices as the one before
	lost    map[string]bool    // ids that a list had and the next one had not
	twice   map[string]bool    // ids that a list had more than once
	flood   bool               // there were more than maxLists; the call was dropped

	departed map[string]bool // ids of which a list said so
	both     map[string]bool // and that the same list had
	back     map[string]bool // and that a later one had
	useless  int             // ids of departed devices that the agent does not take, of one list at most

	ended bool
	code  codes.Code
	said  string // with the code
}

// list is one response of a handler.
type list struct {
	devices  []discovery.Device
	departed []string // as far as an agent takes them
	useless  int      // of these it does not
	bytes    int
	refused  string // why it cannot be used; there are no devices then
	after    time.Duration
}

// with returns the answer after another list.
func (a answer) with(l list) answer {
	a.bytes = max(a.bytes, l.bytes)
	if a.lists == 0 {
		a.first = l.after
	}
	a.lists++
	if l.refused != "" {
		a.refused = l.refused
		return a
	}
	now := ids(l.devices)
	if a.lists > 1 {
		a.lost = maps.Clone(a.lost)
		for id := range ids(a.devices) {
			if !now[id] {
				a.lost = remember(a.lost, id)
			}
		}
		if discovery.Same(a.devices, l.devices) {
			a.same++
		}
	}
	if len(now) < len(l.devices) {
		a.twice = maps.Clone(a.twice)
		seen := make(map[string]bool, len(now))
		for _, d := range l.devices {
			if seen[d.ID] {
				a.twice = remember(a.twice, d.ID)
			}
			seen[d.ID] = true
		}
	}
	a = a.withDeparted(l, now)
	a.devices = l.devices
	a.flood = a.lists > maxLists
	return a
}

// withDeparted is with, for what a list says of departed devices. now are the ids of
// its devices.
func (a answer) withDeparted(l list, now map[string]bool) answer {
	a.useless = max(a.useless, l.useless)
	said := make(map[string]bool, len(l.departed))
	for _, id := range l.departed {
		said[id] = true
	}
	a.departed, a.both, a.back = maps.Clone(a.departed), maps.Clone(a.both), maps.Clone(a.back)
	for id := range now {
		switch {
		case said[id]:
			a.both = remember(a.both, id)
		case a.departed[id]:
			a.back = remember(a.back, id)
		}
	}
	for id := range said {
		a.departed = remember(a.departed, id)
	}
	return a
}

// remember adds an id to a set of a bounded size.
func remember(set map[string]bool, id string) map[string]bool {
	if set == nil {
		set = map[string]bool{}
	}
	if len(set) < 100 {
		set[id] = true
	}
	return set
}

func ids(devices []discovery.Device) map[string]bool {
	set := make(map[string]bool, len(devices))
	for _, d := range devices {
		set[d.ID] = true
	}
	return set
}

// named lists some ids, quoted.
func named(set map[string]bool) string {
	all := slices.Sorted(maps.Keys(set))
	var shown []string
	for _, id := range all[:min(len(all), maxNamed)] {
		shown = append(shown, contract.Show(id))
	}
	if n := len(all) - len(shown); n > 0 {
		shown = append(shown, plural(n, "more", "more"))
	}
	return strings.Join(shown, ", ")
}
