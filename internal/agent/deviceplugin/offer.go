package deviceplugin

import (
	"cmp"
	"hash/fnv"
	"slices"

	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// share is what a resource has of one Instance: its slots.
type share struct {
	instance string // bare name
	usable   bool
	// start is the index at which this node begins to look for a free slot.
	start int
	slots []ledger.Slot
}

// startOf spreads nodes over the slots of a shared Instance, so that Pods that
// start on many nodes at a time do not all want the same slot.
func startOf(node string, shared bool, slots int) int {
	if !shared || slots == 0 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(node))
	return int(h.Sum32() % uint32(slots))
}

// offerInstance returns what akri.sh/<instance> offers: all slots. A slot is
// healthy if it is not withheld, and free or held by this node through this
// door.
func offerInstance(s share) []*pluginapi.Device {
	list := make([]*pluginapi.Device, 0, len(s.slots))
	for _, slot := range s.slots {
		mine := slot.Here && !slot.Withheld && slot.Usage.Door == v0.DoorInstance
		list = append(list, offered(slot.ID, s.usable && (mine || toGive(slot))))
	}
	return list
}

// offerConfiguration returns what akri.sh/<configuration> offers: of each
// Instance the slots that this node's containers use through this door, and one
// more if it can be had. So a container that asks for several units gets
// several devices.
func offerConfiguration(shares []share) []*pluginapi.Device {
	list := make([]*pluginapi.Device, 0, len(shares))
	for _, s := range shares {
		spare := -1
		for i, slot := range s.slots {
			switch {
			case slot.Here && slot.Usage.Door == v0.DoorConfiguration:
				if !slot.Idle {
					list = append(list, offered(slot.Usage.VirtualDevice, s.usable && !slot.Withheld))
				} else if !slot.Withheld && slot.Usage.VirtualDevice == slot.ID && (spare < 0 || !s.slots[spare].Idle) {
					spare = i // this node holds it already: claiming it cannot fail
				}
			case toGive(slot) && (spare < 0 || !s.slots[spare].Idle && s.after(i, spare)):
				spare = i
			}
		}
		if spare >= 0 {
			list = append(list, offered(s.slots[spare].ID, s.usable))
		}
	}
	return list
}

// toGive tells whether a new user may have a slot.
func toGive(slot ledger.Slot) bool { return slot.Usage.Free() && !slot.Withheld }

// after tells whether this node takes slot i later than j through
// akri.sh/<instance>. The other door takes the last slot first, so that the doors
// compete only for the last ones.
func (s share) after(i, j int) bool { return s.turn(s.slots[i].Index) > s.turn(s.slots[j].Index) }

// turn returns the place of a slot in the order in which akri.sh/<instance> takes
// slots.
func (s share) turn(index int) int {
	n := len(s.slots)
	return ((index-s.start)%n + n) % n
}

func offered(id string, healthy bool) *pluginapi.Device {
	d := &pluginapi.Device{ID: id, Health: pluginapi.Unhealthy}
	if healthy {
		d.Health = pluginapi.Healthy
	}
	return d
}

// prefer chooses size of the available slots, among them those in must. Slots
// that this node holds come first, then by turn. With distinct it takes at most
// one slot of each Instance, and Instances that this node uses least come
// first; it may find fewer than size then.
func prefer(available, must []string, size int, distinct bool, shares map[string]share) []string {
	type candidate struct {
		id, instance string
		busy         int
		held         bool
		turn         int
	}
	chosen := slices.Clone(must)
	have := make(map[string]bool, size)
	for _, id := range must {
		have[instanceOf(id)] = true
	}

	var candidates []candidate
	for _, id := range available {
		if slices.Contains(must, id) {
			continue
		}
		instance, index, err := v0.ParseSlotID(id)
		if err != nil {
			continue
		}
		c := candidate{id: id, instance: instance, turn: index}
		if s, ok := shares[instance]; ok && len(s.slots) > 0 {
			c.turn = s.turn(index)
			for _, slot := range s.slots {
				if slot.Here && !slot.Idle {
					c.busy++
				}
				c.held = c.held || slot.Here && slot.ID == id
			}
		}
		candidates = append(candidates, c)
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(a.busy, b.busy),
			-cmp.Compare(toInt(a.held), toInt(b.held)),
			cmp.Compare(a.instance, b.instance),
			cmp.Compare(a.turn, b.turn),
			cmp.Compare(a.id, b.id),
		)
	})
	for _, c := range candidates {
		if len(chosen) >= size {
			break
		}
		if distinct && have[c.instance] {
			continue
		}
		have[c.instance] = true
		chosen = append(chosen, c.id)
	}
	return chosen
}

func instanceOf(slotID string) string {
	instance, _, err := v0.ParseSlotID(slotID)
	if err != nil {
		return slotID
	}
	return instance
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
