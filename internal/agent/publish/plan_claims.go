package publish

import (
	"maps"
	"slices"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/jsonpatch"
)

// claims makes this node's keys of deviceUsage the given set; nil leaves them as
// they are. It never touches slots of other nodes, and claims only what
// [planner.mayClaim] allows.
//
// Slots beyond the capacity are kept, and not claimed anew.
//
// Claiming is an unforced apply of the whole set: of two nodes that race, one
// gets a conflict. Freeing is a patch with tests, so that it works whoever
// wrote the key: this agent, or upstream's under other manager names.
func (p *planner) claims(claims map[string]v0.Usage) {
	if claims == nil {
		return
	}
	o := p.have
	var (
		ops   []jsonpatch.Op
		fresh bool
		here  = p.mayClaim()
		held  = map[string]string{}
	)
	for _, slot := range slices.Sorted(maps.Keys(claims)) {
		value := claims[slot].String()
		live, exists := o.Spec.DeviceUsage[slot]
		path := jsonpatch.Pointer("spec", "deviceUsage", slot)
		switch {
		case value == "":
			continue
		case live == value:
		case !here:
			continue
		case live == "" && !within(o, slot):
			// A container has it from when there were more slots. With it in the
			// apply, none of the node's claims would be accepted.
			p.out.Beyond = append(p.out.Beyond, slot)
			continue
		case !exists:
			fresh = true
		case live == "":
			// Upstream marks free slots so. Somebody owns the key, and an apply
			// would conflict with it.
			ops = append(ops, jsonpatch.RemoveIf(path, live)...)
			fresh = true
		case usage(live).Node == p.node:
			ops = append(ops, jsonpatch.Test(path, live), jsonpatch.Replace(path, value))
		default:
			p.out.Taken = append(p.out.Taken, slot)
			continue
		}
		held[slot] = value
	}
	for _, slot := range slices.Sorted(maps.Keys(o.Spec.DeviceUsage)) {
		live := o.Spec.DeviceUsage[slot]
		if _, stays := held[slot]; !stays && usage(live).Node == p.node {
			path := jsonpatch.Pointer("spec", "deviceUsage", slot)
			ops = append(ops, jsonpatch.RemoveIf(path, live)...)
		}
	}
	if len(ops) > 0 {
		p.write(Write{Verb: Patch, Slots: true, UID: o.UID, Ops: ops})
	}
	if fresh {
		w := Write{Verb: Apply, Slots: true, UID: o.UID, Object: newObject(p.want.Instance, o.UID)}
		w.Object.Spec = &ObjectSpec{DeviceUsage: held}
		p.write(w)
	}
}

// within tells whether an Instance has such a slot now.
func within(o *v0.Instance, slot string) bool {
	i, ok := v0.SlotIndex(o.Name, slot)
	return ok && int64(i) < o.Spec.Capacity
}

// usage reads a value of deviceUsage. A value that cannot be read counts as held.
func usage(value string) v0.Usage {
	u, err := v0.ParseUsage(value)
	if err != nil {
		return v0.Usage{Node: value, Door: v0.DoorInstance}
	}
	return u
}

// mayClaim tells whether this node may add slots to the Instance. What its
// containers hold it always may: a node that no longer sees a shared device says
// so when another node makes the Instance again. A slot for another container
// needs a node that sees the device, or saw it before a restart.
func (p *planner) mayClaim() bool {
	seen := p.want.Word == Present || p.want.Word == Unknown && slices.Contains(p.have.Spec.Nodes, p.node)
	return seen || !p.want.Asked && p.have.Spec.Shared
}

// isHeld tells whether a slot is held, once this node's claims are as they should
// be. A value that cannot be read counts for nothing: nobody would free the slot.
func (p *planner) isHeld() bool {
	for _, u := range p.want.Claims {
		if !u.Free() {
			return true
		}
	}
	return p.heldByOthers() || p.want.Claims == nil && p.holdsAny(func(node string) bool { return node == p.node })
}

// heldByOthers tells whether another node holds a slot.
func (p *planner) heldByOthers() bool {
	return p.holdsAny(func(node string) bool { return node != p.node })
}

func (p *planner) holdsAny(is func(node string) bool) bool {
	for _, value := range p.have.Spec.DeviceUsage {
		if u, err := v0.ParseUsage(value); err == nil && !u.Free() && is(u.Node) {
			return true
		}
	}
	return false
}
