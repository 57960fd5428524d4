package inventory

import (
	"cmp"
	"fmt"
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

// Source is the last complete list of one handler endpoint for a request.
type Source struct {
	Endpoint string `json:"endpoint"`
	// Handler is the name that the endpoint was asked under, and Question
	// what it was asked.
	Handler  string             `json:"handler"`
	Question string             `json:"question"`
	Shared   bool               `json:"shared"`
	Devices  []discovery.Device `json:"devices"`

	// Lost means that the endpoint does not stand by its list any more: its
	// stream has ended, or the list is from before this agent started, or
	// answers an earlier question. LostAt is when, by the clock of
	// [Input.Up].
	Lost   bool          `json:"-"`
	LostAt time.Duration `json:"-"`
	// Void means that paths in the list may mean something else by now: they
	// are of an earlier boot, or not known at all.
	Void bool `json:"-"`
}

// Known is a device together with how long it has been missing.
type Known struct {
	Device
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
	// Configuration is the request's; the rest of it is in Request.
	Request Request
	Sources []Source
	// Known holds the devices so far, by the names of their Instances.
	Known map[string]Known
	// Holders tells who had devices that are not known yet, from before a
	// restart; by the names of their Instances.
	Holders map[string]string
	// Now is put into what changed. Up is the clock of the grace periods.
	Now time.Time
	Up  time.Duration
}

// Output is the decision.
type Output struct {
	// Devices are the devices from now on, by the names of their Instances.
	Devices map[string]Known
	// Expired are endpoints whose lists are to be forgotten.
	Expired []string
	// Collisions tell of devices that were left out because the name of their
	// Instance is taken by another device.
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
//     without a second grace period.
func Plan(in Input) Output {
	p := planner{in: in, out: Output{Devices: make(map[string]Known, len(in.Known))}, ranks: make(map[string]rank, len(in.Known))}
	sources := slices.Clone(in.Sources)
	slices.SortStableFunc(sources, func(a, b Source) int {
		if a.Lost != b.Lost {
			if b.Lost {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Endpoint, b.Endpoint)
	})
	expired := map[string]bool{}
	for _, s := range sources {
		if s.Lost && in.Up-s.LostAt >= HandlerGrace {
			p.out.Expired = append(p.out.Expired, s.Endpoint)
			for _, d := range s.Devices {
				expired[p.name(d, s.Shared)] = true
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
	for name, k := range in.Known {
		if _, here := p.out.Devices[name]; !here && !expired[name] {
			p.miss(name, k)
		}
	}
	return p.out
}

type planner struct {
	in  Input
	out Output
	// ranks has that of the source which each device is as.
	ranks map[string]rank
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
func (p *planner) rank(name string, s Source) (r rank, holder bool) {
	known, ok := p.in.Known[name]
	if !ok {
		known.Holder = p.in.Holders[name]
	}
	holder = known.Holder == s.Endpoint
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

func (p *planner) name(d discovery.Device, shared bool) string {
	return nameOf(p.in.Request, d, p.in.Node, shared)
}

// nameOf returns the name of a device's Instance.
func nameOf(r Request, d discovery.Device, node string, shared bool) string {
	return v0.InstanceName(r.Configuration.Name, v0.DeviceHash(d.ID, node, shared))
}

// see takes up a device that a source lists.
func (p *planner) see(s Source, d discovery.Device) {
	name := p.name(d, s.Shared)
	rank, holder := p.rank(name, s)
	known, before := p.in.Known[name]
	if other, taken := p.out.Devices[name]; taken {
		if other.Reported.ID == d.ID {
			p.seeAgain(name, s, d, other, rank, holder)
			return
		}
		// Two ids share a hash. Who was there first stays.
		keep, drop := other.Reported.ID, d.ID
		if before && known.Reported.ID == d.ID || !before && d.ID < other.Reported.ID {
			keep, drop = drop, keep
		}
		p.out.Collisions = append(p.out.Collisions, fmt.Errorf(
			"device %q is left out: its hash is that of device %q, which has Instance %s", drop, keep, name))
		if keep == other.Reported.ID {
			return
		}
	}
	p.take(name, s, d, rank)
}

// take has a device be as a source lists it.
func (p *planner) take(name string, s Source, d discovery.Device, rank rank) {
	r := p.in.Request
	p.ranks[name] = rank
	p.out.Devices[name] = Known{Holder: s.Endpoint, Device: Device{
		Instance:         types.NamespacedName{Namespace: r.Configuration.Namespace, Name: name},
		Configuration:    r.Configuration.Name,
		Owner:            r.Owner,
		Reported:         d,
		Shared:           s.Shared,
		Capacity:         r.Capacity,
		BrokerProperties: r.BrokerProperties,
		State:            v0.DeviceOnline,
		Usable:           !s.Void,
	}}
}

// seeAgain is for a further sighting of a device, of which there is one already.
// A holder that is lost stays the holder: if it comes back, it has the device
// again.
func (p *planner) seeAgain(name string, s Source, d discovery.Device, one Known, rank rank, holder bool) {
	if rank < p.ranks[name] {
		p.take(name, s, d, rank)
	}
	if holder {
		one = p.out.Devices[name]
		one.Holder = s.Endpoint
		p.out.Devices[name] = one
		if s.Lost && rank == holds {
			p.wakeAt(s.LostAt + holderGrace)
		}
	}
}

// miss decides on a known device that no source lists.
func (p *planner) miss(name string, k Known) {
	r := p.in.Request
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
