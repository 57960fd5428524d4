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

	// Registration is the number of the endpoint's registration, or of the last
	// of any when it was lost. Alone means that no other endpoint of its name was
	// registered then, or, in a list that was restored, when it reported.
	Registration int  `json:"-"`
	Alone        bool `json:"alone,omitempty"`

	size int // of Devices in memory
}

// Known is a device together with how long it has been missing.
type Known struct {
	Device
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
	// Collisions tell of devices that were left out because the name of their
	// Instance is taken by another device, or because they are too many.
	Collisions []error
	// Next is the time by the clock of [Input.Up] at which the decision will
	// change by itself; zero if it will not.
	Next time.Duration
}

// Plan decides which devices one Configuration has on this node:
//
//   - one that a source lists is there, as the first source has it: sources
//     that stand by their lists come before lost ones, then by endpoint;
//   - one that no source lists any more is offline for its grace period;
//   - a lost source counts for [HandlerGrace]; what only it listed goes then,
//     without a second grace period; but if it was the only one of its name, and
//     one that has registered since then has given its list, it counts no more: the
//     handler has come back at another place.
func Plan(in Input) Output {
	p := planner{in: in, out: Output{Devices: make(map[string]Known, len(in.Known))}}
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
		if superseded(s, sources, in.Request.Question) {
			p.out.Expired = append(p.out.Expired, s.Endpoint)
			continue
		}
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
	p.cut()
	return p.out
}

// superseded tells whether a lost source's handler has come back at another
// endpoint. Where there were two of a name it is not known which: then it is not.
func superseded(s Source, all []Source, question string) bool {
	return s.Lost && s.Alone && slices.ContainsFunc(all, func(other Source) bool {
		return !other.Lost && other.Handler == s.Handler && other.Question == question && other.Registration > s.Registration
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
}

func (p *planner) name(d discovery.Device, shared bool) string {
	return v0.InstanceName(p.in.Request.Configuration.Name, v0.DeviceHash(d.ID, p.in.Node, shared))
}

// see takes up a device that a source lists.
func (p *planner) see(s Source, d discovery.Device) {
	name := p.name(d, s.Shared)
	known, before := p.in.Known[name]
	if other, taken := p.out.Devices[name]; taken {
		if other.Reported.ID == d.ID {
			return // a second sighting of one device
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
	r := p.in.Request
	p.out.Devices[name] = Known{Device: Device{
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
