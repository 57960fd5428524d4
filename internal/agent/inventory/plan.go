package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
)

// HandlerGrace is how long devices stay whose handler is gone, or is connected
// but silent. Only time in which the API server was reachable counts: a node
// that is cut off loses nothing.
const HandlerGrace = 5 * time.Minute

// holderGrace is how long the endpoint that has a device is waited for, while
// others list the device too: a handler or an agent that starts anew takes
// less.
const holderGrace = 30 * time.Second

// List is the last complete list of one handler endpoint for a request.
type List struct {
	Endpoint string `json:"endpoint"`
	// Handler is the name that the endpoint was asked under, and Question
	// what it was asked.
	Handler   string             `json:"handler"`
	RequestID string             `json:"question"`
	Shared    bool               `json:"shared"`
	Devices   []discovery.Device `json:"devices"`

	// Lost means that the endpoint does not stand by its list any more: its
	// stream has ended, or the list is from before this agent started, or
	// answers an earlier question. LostAt is when, by the clock of
	// [Input.Up].
	Lost   bool          `json:"-"`
	LostAt time.Duration `json:"-"`
	// Void means that paths in the list may mean something else by now: they
	// are of an earlier boot, or not known at all.
	Void bool `json:"void,omitempty"`

	// Registration is the number of the endpoint's registration, or of the last
	// of any when it was lost. Alone means that no other endpoint of its name was
	// registered then, or, in a list that was restored, when it reported.
	Registration int  `json:"-"`
	Alone        bool `json:"alone,omitempty"`

	bytes int // of Devices in memory
}

// Known is a device together with how long it has been missing.
type Known struct {
	Device
	// Nth tells which of its names the Instance has: see [v0.NthDeviceHash].
	Nth int
	// Holder is the endpoint that has the device, of those that list it: the
	// first that did.
	Holder string
	// Missing means that no source lists the device, since MissingAt by the
	// clock of [Input.Up].
	Missing   bool
	MissingAt time.Duration
}

// Input is all that decides which devices one Configuration has on this node.
type Input struct {
	Node string
	// Configuration is the request's; the rest of it is in Configuration.
	Configuration Configuration
	Lists         []List
	// Known holds the devices so far, by the names of their Instances.
	Known map[string]Known
	// Holders and Names tell who had devices that are not known yet, and what
	// their Instances were called if not by their first name: from before a
	// restart, by the ids of devices.
	Holders, Names map[string]string
	// Taken says, of names of Instances, the id of the device that has it in the
	// API; "" if that is none that this node could have.
	Taken map[string]string
	// Now is put into what changed. Up is the clock of the grace periods.
	Now time.Time
	Up  time.Duration
	// Limit is how many devices there may be; 0 for any number.
	Limit int
}

// Output is the decision.
type Output struct {
	// Devices are the devices from now on, by the names of their Instances.
	Devices map[string]Known
	// Expired are endpoints whose lists are to be forgotten.
	Expired []string
	// Collisions tell of devices that were left out because all names that
	// their Instances may have are taken, or because they are too many.
	Collisions []error
	// Next is the time by the clock of [Input.Up] at which the decision will
	// change by itself; zero if it will not.
	Next time.Duration
}

// Plan decides which devices one Configuration has on this node:
//
//   - one that a source lists is there. If several do, it is as the one has it
//     that listed it first, for as long as that does, so that a handler that
//     comes later cannot change a device of others. While that one is lost, it
//     is waited for; after [holderGrace] it is as another source has it that
//     stands by its list;
//   - one that no source lists any more is offline for its grace period;
//   - a lost source counts for [HandlerGrace]; what only it listed goes then,
//     without a second grace period; but if it was the only one of its name, and
//     one that has registered since then has given its list, it counts no more: the
//     handler has come back at another place.
//
// What their Instances are called, name decides.
func Plan(in Input) Output {
	p := planner{
		in: in, out: Output{Devices: make(map[string]Known, len(in.Known))},
		was: make(map[identity]string, len(in.Known)), seen: make(map[identity]sighting, len(in.Known)),
	}
	for name, k := range in.Known {
		p.was[identityOf(k)] = name
	}
	sources := slices.Clone(in.Lists)
	slices.SortStableFunc(sources, func(a, b List) int {
		if a.Lost != b.Lost {
			if b.Lost {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Endpoint, b.Endpoint)
	})
	expired := map[identity]bool{}
	for _, s := range sources {
		if superseded(s, sources, in.Configuration.RequestID) {
			p.out.Expired = append(p.out.Expired, s.Endpoint)
			continue
		}
		if s.Lost && in.Up-s.LostAt >= HandlerGrace {
			p.out.Expired = append(p.out.Expired, s.Endpoint)
			for _, d := range s.Devices {
				expired[identity{d.ID, s.Shared}] = true
			}
			continue
		}
		if s.Lost && len(s.Devices) > 0 {
			p.wakeAt(s.LostAt + HandlerGrace)
		}
		for _, d := range s.Devices {
			p.see(s, d)
		}
	}
	p.name()
	for name, k := range in.Known {
		id := identityOf(k)
		if _, here := p.seen[id]; !here && !expired[id] {
			p.miss(name, k)
		}
	}
	p.cut()
	return p.out
}

// superseded tells whether a lost source's handler has come back at another
// endpoint. Where there were two of a name it is not known which: then it is not.
func superseded(s List, all []List, question string) bool {
	return s.Lost && s.Alone && slices.ContainsFunc(all, func(other List) bool {
		return !other.Lost && other.Handler == s.Handler && other.RequestID == question && other.Registration > s.Registration
	})
}

// cut leaves out what is beyond the limit: devices that are missing first, then
// new ones. Which ones does not depend on who reports first.
func (p *planner) cut() {
	if p.in.Limit == 0 || len(p.out.Devices) <= p.in.Limit {
		return
	}
	rank := func(name string) int {
		_, before := p.in.Known[name]
		switch {
		case p.out.Devices[name].Missing:
			return 2
		case !before:
			return 1
		}
		return 0
	}
	names := slices.SortedFunc(maps.Keys(p.out.Devices), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	online := 0
	for _, name := range names[p.in.Limit:] {
		if rank(name) < 2 {
			online++
		}
		delete(p.out.Devices, name)
	}
	if online > 0 {
		p.out.Collisions = append(p.out.Collisions, fmt.Errorf(
			"%d devices are left out: a Configuration may have %d on a node, of all its handlers together", online, p.in.Limit))
	}
}

type planner struct {
	in  Input
	out Output
	// was has the names of what is known.
	was  map[identity]string
	seen map[identity]sighting
}

// identity is what makes a device, within a request and on a node.
type identity struct {
	id     string
	shared bool
}

func identityOf(k Known) identity { return identity{k.Reported.ID, k.Shared} }

// sighting is a device as one source lists it: the one that counts.
type sighting struct {
	device discovery.Device
	rank   rank
	void   bool
	holder string
}

// rank orders the sources of one device; the lowest counts.
type rank int

const (
	holds  rank = iota // the holder, there or waited for
	stands             // another that stands by its list
	held               // the holder, lost for long
	lost
)

// rank returns that of a source for a device that it lists, and whether it is
// the device's holder.
func (p *planner) rank(id identity, s List) (r rank, holder bool) {
	was := p.in.Holders[id.id]
	if name, ok := p.was[id]; ok {
		was = p.in.Known[name].Holder
	}
	holder = was == s.Endpoint
	switch {
	case holder && (!s.Lost || p.in.Up-s.LostAt < holderGrace):
		return holds, holder
	case !s.Lost:
		return stands, holder
	case holder:
		return held, holder
	}
	return lost, holder
}

// see takes up a device that a source lists. A holder that is lost stays the
// holder: if it comes back, it has the device again.
func (p *planner) see(s List, d discovery.Device) {
	id := identity{d.ID, s.Shared}
	rank, holder := p.rank(id, s)
	one, again := p.seen[id]
	if !again || rank < one.rank {
		one = sighting{device: d, rank: rank, void: s.Void, holder: cmp.Or(one.holder, s.Endpoint)}
	}
	if holder {
		one.holder = s.Endpoint
	}
	if again && holder && s.Lost && rank == holds {
		p.wakeAt(s.LostAt + holderGrace)
	}
	p.seen[id] = one
}

// take has a device be there, by the nth of its names.
func (p *planner) take(name string, n int, id identity, one sighting) {
	r := p.in.Configuration
	p.out.Devices[name] = Known{Nth: n, Holder: one.holder, Device: Device{
		Instance:         types.NamespacedName{Namespace: r.Name.Namespace, Name: name},
		Configuration:    r.Name.Name,
		Owner:            r.Owner,
		Reported:         one.device,
		Shared:           id.shared,
		Capacity:         r.Capacity,
		BrokerProperties: r.BrokerProperties,
		State:            v0.DeviceOnline,
		Usable:           !one.void,
	}}
}

// miss decides on a known device that no source lists.
func (p *planner) miss(name string, k Known) {
	r := p.in.Configuration
	if !k.Missing {
		k.Missing, k.MissingAt = true, p.in.Up
		k.State, k.Reason, k.Since = v0.DeviceOffline, v0.ReasonNotReported, p.in.Now
	}
	until := k.MissingAt + r.Grace(k.Shared)
	if p.in.Up >= until {
		return
	}
	k.Usable = false
	k.Owner, k.Capacity, k.BrokerProperties = r.Owner, r.Capacity, r.BrokerProperties
	p.out.Devices[name] = k
	p.wakeAt(until)
}

func (p *planner) wakeAt(t time.Duration) {
	if p.out.Next == 0 || t < p.out.Next {
		p.out.Next = t
	}
}
