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

// HandlerGrace is how long devices stay after their handler is gone, or while it
// is connected but silent. Only time in which the API server is reachable counts:
// a node that is cut off loses nothing.
const HandlerGrace = 5 * time.Minute

// holderGrace is how long a device waits for its holder to come back before
// another endpoint that lists it takes over. A handler or an agent needs less
// than that to restart.
const holderGrace = 30 * time.Second

// List is the last complete list of devices of one handler endpoint for a
// request.
type List struct {
	Endpoint string `json:"endpoint"`
	// Handler is the name that the endpoint was asked under, and RequestID what
	// it was asked.
	Handler   string             `json:"handler"`
	RequestID string             `json:"question"`
	Shared    bool               `json:"shared"`
	Devices   []discovery.Device `json:"devices"`

	// Lost means that the list is no longer certain: the endpoint's stream has
	// ended, or the list is older than this agent, or it answers an earlier
	// request. LostAt is since when, by the clock of [Input.Up].
	Lost   bool          `json:"-"`
	LostAt time.Duration `json:"-"`
	// Void means that the paths in the list cannot be used: they are of an
	// earlier boot, or not known at all.
	Void bool `json:"void,omitempty"`

	// Registration is the number of the endpoint's registration or, of a lost
	// list, of the last registration of any endpoint by then. Alone means that
	// no other endpoint of its name was registered then (of a restored list:
	// when it was reported).
	Registration int  `json:"-"`
	Alone        bool `json:"alone,omitempty"`

	bytes int // of Devices in memory
}

// Known is a device together with how long it has been missing.
type Known struct {
	Device
	// Nth is which of its names the Instance has: see [v0.NthDeviceHash].
	Nth int
	// Holder is the endpoint whose listing of the device counts: the first that
	// listed it.
	Holder string
	// Missing means that no list has the device, since MissingAt by the clock of
	// [Input.Up].
	Missing   bool
	MissingAt time.Duration
	// Departed means that its holder has said that it does not come back.
	Departed bool
}

// Input is all that decides which devices one Configuration has on this node.
type Input struct {
	Node          string
	Configuration Configuration
	Lists         []List
	// Known holds the devices so far, by the names of their Instances.
	Known map[string]Known
	// Holders and Names are from before a restart, by device id: who held a
	// device that is not known yet, and the name of its Instance unless it is
	// the first.
	Holders, Names map[string]string
	// Taken maps names of Instances to the ids of the devices that have them in
	// the API; "" is a device that this node cannot have.
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
	// Collisions say which devices were left out because all names that their
	// Instances may have are taken, or because there are too many devices.
	Collisions []error
	// Next is the time, by the clock of [Input.Up], at which the decision changes
	// without new input; zero if it does not.
	Next time.Duration
}

// Plan decides which devices one Configuration has on this node:
//
//   - A device that is in a list is online. If it is in several, the list of
//     its holder counts, so that a handler that comes later cannot change
//     another's device. If the holder's list is lost for [holderGrace], another
//     list that is not lost counts.
//   - A device that is no longer in any list is offline for its grace period,
//     and gone at once if it has departed.
//   - A lost list counts for [HandlerGrace]. Devices that only it has go then,
//     without another grace period. It counts no longer if its endpoint was the
//     only one of the name and one that registered since has reported: then the
//     handler has come back at another endpoint.
func Plan(in Input) Output {
	p := planner{
		in: in, out: Output{Devices: make(map[string]Known, len(in.Known))},
		was: make(map[identity]string, len(in.Known)), seen: make(map[identity]sighting, len(in.Known)),
	}
	for name, k := range in.Known {
		p.was[identityOf(k)] = name
	}
	lists := slices.Clone(in.Lists)
	slices.SortStableFunc(lists, func(a, b List) int {
		if a.Lost != b.Lost {
			if b.Lost {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Endpoint, b.Endpoint)
	})
	expired := map[identity]bool{}
	for _, s := range lists {
		if superseded(s, lists, in.Configuration.RequestID) {
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

// superseded tells whether the handler of a lost list has come back at another
// endpoint. If there were two endpoints of the name, nobody knows which came
// back: then the list is not superseded.
func superseded(s List, all []List, requestID string) bool {
	return s.Lost && s.Alone && slices.ContainsFunc(all, func(other List) bool {
		return !other.Lost && other.Handler == s.Handler && other.RequestID == requestID && other.Registration > s.Registration
	})
}

// cut leaves out devices beyond the limit: those that are missing first, then new
// ones. The result does not depend on the order of reports.
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
	// was has the names of the known devices.
	was  map[identity]string
	seen map[identity]sighting
}

// identity identifies a device of a Configuration on a node.
type identity struct {
	id     string
	shared bool
}

func identityOf(k Known) identity { return identity{k.Reported.ID, k.Shared} }

// sighting is a device as the list has it that counts.
type sighting struct {
	device discovery.Device
	rank   rank
	void   bool
	holder string
}

// rank orders the lists that have a device; the lowest rank counts.
type rank int

const (
	holds  rank = iota // the holder's, not lost, or not for long
	stands             // another's, not lost
	held               // the holder's, lost for long
	lost
)

// rank returns the rank of a list for a device that is in it, and whether its
// endpoint is the device's holder.
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

// see notes a device of a list. A holder stays the holder while its list is lost:
// if it comes back, its list counts again.
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

// take puts a device into the output, under the nth of its names.
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

// miss decides on a known device that is in no list.
func (p *planner) miss(name string, k Known) {
	r := p.in.Configuration
	if !k.Missing {
		k.Missing, k.MissingAt = true, p.in.Up
		k.State, k.Reason, k.Since = v0.DeviceOffline, v0.ReasonNotReported, p.in.Now
	}
	until := k.MissingAt + r.Grace(k.Shared)
	if p.in.Up >= until || k.Departed {
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
