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
// Configuration. Devices follow from them.
type State struct {
	// BootID is the kernel's; under another one paths of local devices are void.
	BootID         string                `json:"bootID"`
	Configurations []StoredConfiguration `json:"requests"`
}

// StoredConfiguration is a Configuration with its lists, as they were.
type StoredConfiguration struct {
	Name             types.NamespacedName `json:"configuration"`
	Owner            types.UID            `json:"owner"`
	Handler          string               `json:"handler"`
	RequestID        string               `json:"question"`
	Capacity         int                  `json:"capacity"`
	BrokerProperties map[string]string    `json:"brokerProperties,omitempty"`
	Lists            []List               `json:"sources"`
	// Holders are the holders of devices, by device id, if there is more than one
	// list. Names are those of Instances that do not have their first name.
	Holders map[string]string `json:"holders,omitempty"`
	Names   map[string]string `json:"names,omitempty"`
}

// Endpoints of devices that only the API server knows.
const (
	adoptedLocal  = "adopted:local"
	adoptedShared = "adopted:shared"
)

func (s List) adopted() bool { return s.Endpoint == adoptedLocal || s.Endpoint == adoptedShared }

// Restore starts from what the store holds. Devices that are still allowed are
// there at once, as if their handlers were lost now: they stay until these report
// or HandlerGrace is over.
func (v *Inventory) Restore() {
	state, _ := checkpoint.Restore(v.opts.Store, v.opts.Logger, "starting without the saved devices; they are found anew")
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range state.Configurations {
		c := newConfiguration(Configuration{
			Name:             r.Name,
			Owner:            r.Owner,
			Handler:          r.Handler,
			RequestID:        r.RequestID,
			Capacity:         max(1, r.Capacity),
			BrokerProperties: r.BrokerProperties,
		})
		for _, s := range r.Lists {
			s.Lost = true
			s.bytes = sizeOf(s.Devices)
			s.Alone, s.Registration = s.Alone && len(r.Lists) == 1, 0
			s.Void = s.Void || !s.Shared && state.BootID != v.opts.BootID
			v.vet(c, &s)
			c.lists[s.Endpoint] = s
		}
		v.configurations[r.Name] = c
		c.holders = r.Holders
		maps.Copy(c.names, r.Names)
		v.plan(c)
	}
}

// vet removes from a restored list the devices that are no longer allowed, and
// notes why.
func (v *Inventory) vet(c *configuration, s *List) {
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
			c.barred[identity{d.ID, s.Shared}] = true
		}
	}
	s.Devices = good
	c.refused[s.Endpoint] = refused
	v.opts.Logger.Warn("restored devices are refused", "configuration", c.Name.String(), "endpoint", s.Endpoint, "refused", refused)
}

// Adopt takes over devices of this node that the API server has and the store
// does not. They stay as restored devices do, but no container gets one before
// a handler has reported it. Call it once all Configurations are set: devices
// of other Configurations, and devices that handlers no longer report, are
// gone.
func (v *Inventory) Adopt(devices []Device) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fresh := map[types.NamespacedName][]Device{}
	for _, d := range devices {
		name := types.NamespacedName{Namespace: d.Instance.Namespace, Name: d.Configuration}
		c := v.configurations[name]
		if c == nil {
			v.tellGone([]Device{d})
			continue
		}
		if _, known := c.known[d.Instance.Name]; !known {
			fresh[name] = append(fresh[name], d)
		}
	}
	up, _ := v.opts.UpTime.Elapsed()
	for name, devices := range fresh {
		c := v.configurations[name]
		if answered(c) { // devices that the handlers do not list are gone
			v.tellGone(devices)
			continue
		}
		for _, d := range devices {
			endpoint := adoptedLocal
			if d.Shared {
				endpoint = adoptedShared
			}
			if c.barred[identityOf(Known{Device: d})] {
				continue // restored, and refused
			}
			c.names[d.Reported.ID] = d.Instance.Name
			// An Instance does not tell a handler's properties from the user's.
			d.Reported.Properties = maps.Clone(d.Reported.Properties)
			for key := range c.BrokerProperties {
				delete(d.Reported.Properties, key)
			}
			s := c.lists[endpoint]
			s.Endpoint, s.Handler, s.Shared = endpoint, c.Handler, d.Shared
			s.Lost, s.LostAt, s.Void = true, up, true
			s.Devices = append(s.Devices, d.Reported)
			s.bytes = sizeOf(s.Devices)
			c.lists[endpoint] = s
		}
		for _, endpoint := range []string{adoptedLocal, adoptedShared} {
			if s, ok := c.lists[endpoint]; ok {
				v.vet(c, &s)
				c.lists[endpoint] = s
			}
		}
		v.tellGone(slices.DeleteFunc(devices, func(d Device) bool { return !c.barred[identityOf(Known{Device: d})] }))
		v.plan(c)
	}
}

func answered(c *configuration) bool {
	for _, s := range c.lists {
		if !s.Lost {
			return true
		}
	}
	return false
}

// save writes the store if it is out of date, and tells whether it tried.
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

// unsaved returns the state to save, if the store is out of date. The caller
// holds mu.
func (v *Inventory) unsaved() (state State, number int, ok bool) {
	if !v.dirty || v.opts.Store == nil {
		v.dirty = false
		return State{}, 0, false
	}
	v.dirty = false
	v.changes++
	return v.state(), v.changes, true
}

// store saves a state unless a later one is saved already. It returns false if
// that failed.
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
	for _, name := range slices.SortedFunc(maps.Keys(v.configurations), compareNames) {
		c := v.configurations[name]
		r := StoredConfiguration{
			Name:             c.Name,
			Owner:            c.Owner,
			Handler:          c.Handler,
			RequestID:        c.RequestID,
			Capacity:         c.Capacity,
			BrokerProperties: c.BrokerProperties,
		}
		for _, endpoint := range slices.Sorted(maps.Keys(c.lists)) {
			if s := c.lists[endpoint]; !s.adopted() {
				r.Lists = append(r.Lists, sorted(s))
			}
		}
		if len(r.Lists) > 1 {
			r.Holders = make(map[string]string, len(c.known))
			for _, k := range c.known {
				r.Holders[k.Reported.ID] = k.Holder
			}
		}
		for name, k := range c.known {
			if k.Nth > 0 {
				if r.Names == nil {
					r.Names = make(map[string]string)
				}
				r.Names[k.Reported.ID] = name
			}
		}
		state.Configurations = append(state.Configurations, r)
	}
	return state
}

// sorted returns a list with its devices in the order of their ids, so that what
// is stored does not depend on the order of a report.
func sorted(s List) List {
	s.Devices = slices.SortedFunc(slices.Values(s.Devices), func(a, b discovery.Device) int {
		return cmp.Compare(a.ID, b.ID)
	})
	return s
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
