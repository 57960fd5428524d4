package ledger

import (
	"maps"
	"slices"

	"github.com/akri-go/akri/internal/agent/inventory"
)

// DeviceChanged implements [inventory.Consumer].
//
// Of two devices whose Instances have the same name in different namespaces,
// the first keeps the name until it is gone; the other has no slots.
func (l *Ledger) DeviceChanged(d inventory.Device) {
	facts := device{capacity: d.Capacity, shared: d.Shared, usable: d.Usable}
	if facts.capacity > maxCapacity {
		l.log.Warn("capacity is limited", "instance", d.Instance, "capacity", d.Capacity, "limit", maxCapacity)
	}
	facts.capacity = max(0, min(facts.capacity, maxCapacity))

	l.mu.Lock()
	in := l.instance(d.Instance)
	if in.device != nil && in.namespace != d.Instance.Namespace {
		in.waiting[d.Instance.Namespace] = facts
		l.mu.Unlock()
		l.log.Error("device has no slots: another namespace has an Instance of the same name; rename one of the Configurations",
			"instance", d.Instance, "namespace", in.namespace)
		return
	}
	l.arrive(in, d.Instance.Namespace, facts)
	l.mu.Unlock()
	l.notify(d.Instance)
}

// arrive sets the device of an instance. The caller holds mu.
func (l *Ledger) arrive(in *instance, namespace string, facts device) {
	back := in.device == nil
	if in.namespace != namespace {
		// Containers that outlived another Configuration of this name have claims
		// of the same device.
		in.namespace = namespace
		in.others, in.released, in.seen = nil, nil, false
		l.changes++
	}
	in.device = &facts
	if !facts.shared {
		in.others = nil // see planObserved
	}
	if back && len(in.held) > 0 {
		l.record(in)
	}
}

// DeviceGone implements [inventory.Consumer].
func (l *Ledger) DeviceGone(d inventory.Device) {
	l.mu.Lock()
	changed := d.Instance
	if in := l.instances[d.Instance.Name]; in != nil {
		delete(in.waiting, d.Instance.Namespace)
		if in.namespace == d.Instance.Namespace {
			in.device = nil
			for _, next := range slices.Sorted(maps.Keys(in.waiting)) {
				l.arrive(in, next, in.waiting[next])
				delete(in.waiting, next)
				changed = in.name()
				break
			}
		}
		l.forget(in)
	}
	l.mu.Unlock()
	l.notify(d.Instance)
	if changed != d.Instance {
		l.notify(changed)
	}
}
