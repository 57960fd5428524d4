package ledger

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Slot is one slot of an Instance as it is now.
type Slot struct {
	ID    string
	Index int
	// Usage is the slot's holder.
	Usage v0.Usage
	// Here tells that the holder is this node.
	Here bool
	// Idle tells that this node holds the slot and the kubelet no longer uses
	// it: it is about to be freed.
	Idle bool
	// Withheld tells that nobody else may get the slot, although it is free or
	// held here: the capacity has shrunk and slots beyond it are held instead,
	// or see [instance.withheld].
	Withheld bool
}

// Slots returns the slots of an Instance whose device is on this node, in
// order, and nil for others. Slots beyond the capacity are included while this
// node holds them.
func (l *Ledger) Slots(name types.NamespacedName) []Slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.instances[name.Name]
	if in == nil || in.device == nil || in.namespace != name.Namespace {
		return nil
	}
	slots := make([]Slot, 0, in.device.capacity)
	add := func(i int, kept bool) {
		slot := in.slot(l.node, i)
		slot.Withheld = kept || in.withheld(i, l.cutOff)
		slots = append(slots, slot)
	}
	kept := in.keptBack()
	for i := range in.device.capacity {
		add(i, kept[i])
	}
	for _, i := range slices.Sorted(maps.Keys(in.held)) {
		if i >= in.device.capacity {
			add(i, false)
		}
	}
	return slots
}
