package ledger

import (
	"maps"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Observed brings all of an Instance's spec.deviceUsage; nil, not only empty,
// if the Instance was deleted. Slots of other nodes are believed. Slots of this
// node that are unknown here are taken over, since a container may use them. If
// the Instance differs from the claims, these are recorded again.
func (l *Ledger) Observed(name types.NamespacedName, usage map[string]v0.Usage) {
	l.mu.Lock()
	in := l.instance(name)
	if in.namespace != name.Namespace {
		if usage == nil || in.device != nil || len(in.held)+len(in.pending) > 0 {
			l.forget(in)
			l.mu.Unlock()
			return
		}
		in.namespace, in.others, in.released = name.Namespace, nil, nil
	}
	plan := planObserved(l.node, in, usage)
	plan.changed = plan.changed || in.seen != (usage != nil)
	in.seen, in.exists = usage != nil, usage != nil
	in.others, in.released = plan.others, plan.released
	for i, h := range in.held {
		h.missing = !plan.confirmed[i]
		in.held[i] = h
	}
	for i, h := range plan.adopt {
		in.held[i] = h
		l.changes++ // saved with the next change; until then the Instance knows it
	}
	if plan.differs {
		l.record(in)
	}
	l.forget(in)
	l.mu.Unlock()

	for i := range plan.adopt {
		l.log.Info("slot taken over: the Instance says that this node holds it", "slot", v0.SlotID(name.Name, i))
	}
	for i, node := range plan.contested {
		l.log.Error("slot is held by two nodes", "slot", v0.SlotID(name.Name, i), "other", node)
	}
	if plan.changed {
		l.notify(name)
	}
}

// observedPlan is the decision on an Instance's usage.
type observedPlan struct {
	others   map[int]v0.Usage
	released map[int]bool
	// confirmed are slots held here that this node holds in the Instance too.
	confirmed map[int]bool
	// adopt are slots that this node holds in the Instance and that are unknown
	// here.
	adopt map[int]holder
	// contested are slots held here that another node has got in the Instance.
	contested map[int]string
	// differs tells that the claims, with the adopted ones, are not those of the
	// Instance.
	differs bool
	// changed tells that the slots have changed for this node.
	changed bool
}

// planObserved compares an instance with what its object says.
func planObserved(node string, in *instance, usage map[string]v0.Usage) observedPlan {
	plan := observedPlan{others: make(map[int]v0.Usage)}
	ours := 0
	for id, u := range usage {
		i, ok := v0.SlotIndex(in.bare, id)
		if !ok || u.Free() {
			continue
		}
		h, held := in.held[i]
		_, pending := in.pending[i]
		if u.Node != node {
			// Nobody else can use a local device: such a value is a mistake and
			// must not cost a slot.
			if in.device == nil || in.device.shared {
				plan.others[i] = u
				if held && in.others[i] != u {
					set(&plan.contested, i, u.Node)
				}
			}
			continue
		}
		ours++
		switch {
		case held && usageOf(node, id, h) == u:
			set(&plan.confirmed, i, true)
		case held:
			plan.differs = true
		case pending:
			// The claim that is being made; its answer may still be on the way.
			ours--
		case in.released[i]:
			set(&plan.released, i, true)
			plan.differs = true
		default:
			h := holder{door: u.Door}
			if u.Door == v0.DoorConfiguration && u.VirtualDevice != id {
				h.virtual = u.VirtualDevice
			}
			set(&plan.adopt, i, h)
		}
	}
	if ours != len(in.held)+len(plan.adopt)+len(plan.released) {
		plan.differs = true
	}
	plan.changed = len(plan.adopt) > 0 || !maps.Equal(plan.others, in.others)
	if len(plan.others) == 0 {
		plan.others = nil
	}
	return plan
}

func set[V any](m *map[int]V, key int, value V) {
	if *m == nil {
		*m = make(map[int]V)
	}
	(*m)[key] = value
}
