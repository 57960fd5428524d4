package inventory

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/checkpoint"
)

// StateVersion is that of [State], for its checkpoint.
const StateVersion = 1

// State is what an inventory keeps on disk: the last lists of the handlers, by
// request. Devices follow from them.
type State struct {
	// BootID is the kernel's; paths of local devices are void under another.
	BootID   string         `json:"bootID"`
	Requests []StoredSource `json:"requests"`
}

// StoredSource is one request as it was, with the lists for it.
type StoredSource struct {
	Configuration    types.NamespacedName `json:"configuration"`
	Owner            types.UID            `json:"owner"`
	Handler          string               `json:"handler"`
	Question         string               `json:"question"`
	Capacity         int                  `json:"capacity"`
	BrokerProperties map[string]string    `json:"brokerProperties,omitempty"`
	Sources          []Source             `json:"sources"`
	// Holders are those of devices, by their ids, if there is more than one
	// source. Names are those of Instances that have not their first name.
	Holders map[string]string `json:"holders,omitempty"`
	Names   map[string]string `json:"names,omitempty"`
}

// Endpoints of devices that are known from the API server only.
const (
	adoptedLocal  = "adopted:local"
	adoptedShared = "adopted:shared"
)

func (s Source) adopted() bool { return s.Endpoint == adoptedLocal || s.Endpoint == adoptedShared }

// Restore starts from what the store holds. Devices that may still be are there
// at once; they are checked when their handlers report, or expire as if those
// were lost now.
func (v *Inventory) Restore() {
	state, _ := checkpoint.Restore(v.opts.Store, v.opts.Logger, "starting without the saved devices; they are found anew")
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range state.Requests {
		q := newRequest(Request{
			Configuration:    r.Configuration,
			Owner:            r.Owner,
			Handler:          r.Handler,
			Question:         r.Question,
			Capacity:         max(1, r.Capacity),
			BrokerProperties: r.BrokerProperties,
		})
		for _, s := range r.Sources {
			s.Lost = true
			s.size = sizeOf(s.Devices)
			s.Alone, s.Registration = s.Alone && len(r.Sources) == 1, 0
			s.Void = s.Void || !s.Shared && state.BootID != v.opts.BootID
			v.vet(q, &s)
			q.sources[s.Endpoint] = s
		}
		v.requests[r.Configuration] = q
		q.holders = r.Holders
		maps.Copy(q.names, r.Names)
		v.plan(q)
	}
}

// vet takes out of a list of before what may not be any more, and notes why.
func (v *Inventory) vet(q *request, s *Source) {
	good, refused := v.opts.Vet(s.Devices)
	if refused == nil {
		return
	}
	fine := make(map[string]bool, len(good))
	for _, d := range good {
		fine[d.ID] = true
	}
	for _, d := range s.Devices {
		if !fine[d.ID] {
			q.barred[identity{d.ID, s.Shared}] = true
		}
	}
	s.Devices = good
	q.refused[s.Endpoint] = refused
	v.opts.Logger.Warn("devices of before are refused", "configuration", q.Configuration.String(), "endpoint", s.Endpoint, "refused", refused)
}

// Adopt takes up devices of this node that the API server has and the store
// does not. They stay as restored ones do, but no container can be given one
// before a handler has reported it. It is called once all requests are set:
// devices of none, and those that handlers no longer report, are gone.
func (v *Inventory) Adopt(devices []Device) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fresh := map[types.NamespacedName][]Device{}
	for _, d := range devices {
		name := types.NamespacedName{Namespace: d.Instance.Namespace, Name: d.Configuration}
		q := v.requests[name]
		if q == nil {
			v.tellGone([]Device{d})
			continue
		}
		if _, known := q.known[d.Instance.Name]; !known {
			fresh[name] = append(fresh[name], d)
		}
	}
	up, _ := v.opts.UpTime.Elapsed()
	for name, devices := range fresh {
		q := v.requests[name]
		if answered(q) { // what the handlers do not list is not there
			v.tellGone(devices)
			continue
		}
		for _, d := range devices {
			endpoint := adoptedLocal
			if d.Shared {
				endpoint = adoptedShared
			}
			if q.barred[identityOf(Known{Device: d})] {
				continue // restored, and refused
			}
			q.names[d.Reported.ID] = d.Instance.Name
			// An Instance does not tell a handler's properties from the user's.
			d.Reported.Properties = maps.Clone(d.Reported.Properties)
			for key := range q.BrokerProperties {
				delete(d.Reported.Properties, key)
			}
			s := q.sources[endpoint]
			s.Endpoint, s.Handler, s.Shared = endpoint, q.Handler, d.Shared
			s.Lost, s.LostAt, s.Void = true, up, true
			s.Devices = append(s.Devices, d.Reported)
			s.size = sizeOf(s.Devices)
			q.sources[endpoint] = s
		}
		for _, endpoint := range []string{adoptedLocal, adoptedShared} {
			if s, ok := q.sources[endpoint]; ok {
				v.vet(q, &s)
				q.sources[endpoint] = s
			}
		}
		v.tellGone(slices.DeleteFunc(devices, func(d Device) bool { return !q.barred[identityOf(Known{Device: d})] }))
		v.plan(q)
	}
}

func answered(q *request) bool {
	for _, s := range q.sources {
		if !s.Lost {
			return true
		}
	}
	return false
}

// save brings the store up to date if it is behind, and tells whether it did.
func (v *Inventory) save() bool {
	v.mu.Lock()
	state, number, ok := v.unsaved()
	v.mu.Unlock()
	if ok && !v.store(state, number) {
		v.mu.Lock()
		v.dirty = true
		v.mu.Unlock()
	}
	return ok
}

// unsaved returns what the store lacks, if anything. The caller holds mu.
func (v *Inventory) unsaved() (state State, number int, ok bool) {
	if !v.dirty || v.opts.Store == nil {
		v.dirty = false
		return State{}, 0, false
	}
	v.dirty = false
	v.changes++
	return v.state(), v.changes, true
}

// store saves a state unless a later one is saved already, and tells whether
// that succeeded.
func (v *Inventory) store(state State, number int) bool {
	v.saving.Lock()
	defer v.saving.Unlock()
	if number < v.saved {
		return true
	}
	err := v.opts.Store.Save(state)
	v.unwritable.Is(v.opts.Logger, err)
	if err != nil {
		return false
	}
	v.saved = number
	return true
}

func (v *Inventory) state() State {
	state := State{BootID: v.opts.BootID}
	for _, name := range slices.SortedFunc(maps.Keys(v.requests), compareNames) {
		q := v.requests[name]
		r := StoredSource{
			Configuration:    q.Configuration,
			Owner:            q.Owner,
			Handler:          q.Handler,
			Question:         q.Question,
			Capacity:         q.Capacity,
			BrokerProperties: q.BrokerProperties,
		}
		for _, endpoint := range slices.Sorted(maps.Keys(q.sources)) {
			if s := q.sources[endpoint]; !s.adopted() {
				r.Sources = append(r.Sources, sorted(s))
			}
		}
		if len(r.Sources) > 1 {
			r.Holders = make(map[string]string, len(q.known))
			for _, k := range q.known {
				r.Holders[k.Reported.ID] = k.Holder
			}
		}
		for name, k := range q.known {
			if k.Nth > 0 {
				if r.Names == nil {
					r.Names = make(map[string]string)
				}
				r.Names[k.Reported.ID] = name
			}
		}
		state.Requests = append(state.Requests, r)
	}
	return state
}

// sorted returns a source with its devices in the order of their ids, so that
// what is stored does not depend on the order of a report.
func sorted(s Source) Source {
	s.Devices = slices.SortedFunc(slices.Values(s.Devices), func(a, b discovery.Device) int {
		return cmp.Compare(a.ID, b.ID)
	})
	return s
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
