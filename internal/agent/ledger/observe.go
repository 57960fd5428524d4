package ledger

import (
	"maps"

	v0 "github.com/akri-go/akri/api/v0"
)

// observedPlan is what follows from an Instance's usage.
type observedPlan struct {
	others   map[int]v0.Usage
	released map[int]bool
	// confirmed are slots held here that the Instance has as ours.
	confirmed map[int]bool
	// adopt are slots that the Instance has as ours and that are unknown here.
	adopt map[int]holder
	// contested are slots held here that the Instance newly has as another
	// node's.
	contested map[int]string
	// differs tells that the claims, with the adopted ones, are not those of
	// the Instance.
	differs bool
	// changed tells that slots look different from here now.
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
			// Nobody else can use a local device: such an entry is a mistake,
			// and must not cost a slot.
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
			// The claim that is being made, maybe before its answer.
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
