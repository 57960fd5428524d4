package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Claim is a slot that this node holds.
type Claim struct {
	Instance types.NamespacedName `json:"instance"`
	// Slot is the slot's index.
	Slot int     `json:"slot"`
	Door v0.Door `json:"door"`
	// VirtualDevice is the id by which the kubelet knows the slot, if that is
	// not the slot's own id: upstream's agent made the claim.
	VirtualDevice string `json:"virtualDevice,omitempty"`
}

// ID returns the slot's id.
func (c Claim) ID() string { return v0.SlotID(c.Instance.Name, c.Slot) }

// Use returns the claim as the kubelet knows it.
func (c Claim) Use() Use {
	u := Use{Resource: resource(c.Instance.Name, c.Door), ID: c.VirtualDevice}
	if u.ID == "" {
		u.ID = c.ID()
	}
	return u
}

func (c Claim) holder() holder { return holder{door: c.Door, virtual: c.VirtualDevice} }

func (c Claim) compare(d Claim) int {
	return cmp.Or(
		cmp.Compare(c.Instance.Name, d.Instance.Name),
		cmp.Compare(c.Slot, d.Slot),
	)
}

func (c Claim) validate() error {
	if c.Instance.Name == "" || c.Slot < 0 || c.Door != v0.DoorInstance && c.Door != v0.DoorConfiguration {
		return fmt.Errorf("claim on slot %d of %q through door %q is not valid", c.Slot, c.Instance, c.Door)
	}
	return nil
}

// resource returns the resource of a door, for an Instance.
func resource(instance string, door v0.Door) string {
	if door == v0.DoorConfiguration {
		return v0.ResourceName(configurationOf(instance))
	}
	return v0.ResourceName(instance)
}

// configurationOf returns the Configuration's part of an Instance's name.
func configurationOf(instance string) string {
	hash := v0.HashOf(instance)
	if hash == "" {
		return instance
	}
	return instance[:len(instance)-len(hash)-1]
}

// holder is how this node holds a slot.
type holder struct {
	door v0.Door
	// virtual is Claim.VirtualDevice.
	virtual string
	// idle is since when the kubelet has not used it; zero while it does.
	idle time.Time
	// missing tells that the Instance was last seen without it.
	missing bool
}

// device is what the inventory says.
type device struct {
	capacity int
	shared   bool
	usable   bool
}

// instance is what is known of the slots of one Instance. Maps are keyed by the
// slot's index.
type instance struct {
	namespace, bare string

	// device is nil if the device is not on this node.
	device *device
	// waiting has the devices of other namespaces with this name.
	waiting map[string]device

	held map[int]holder
	// pending are slots that are being claimed: neither free nor granted.
	pending map[int]v0.Door
	// others are slots that other nodes hold.
	others map[int]v0.Usage
	// released are slots that were freed here, but that this node still holds
	// in the last known state of the Instance.
	released map[int]bool
	// seen tells that the Instance was seen, and not that it is gone. exists
	// tells that it may be there, since a claim on it was tried.
	seen, exists bool

	// claiming is set while the recorder's Claim runs for this Instance, and
	// recordLater if the claims have to be recorded after it.
	claiming, recordLater bool
}

// instance returns the instance of a name and makes it if need be. The caller
// holds mu.
func (l *Ledger) instance(name types.NamespacedName) *instance {
	in := l.instances[name.Name]
	if in == nil {
		in = &instance{
			namespace: name.Namespace,
			bare:      name.Name,
			waiting:   make(map[string]device),
			held:      make(map[int]holder),
			pending:   make(map[int]v0.Door),
		}
		l.instances[name.Name] = in
	}
	return in
}

// forget drops an instance of which nothing is known. The caller holds mu.
func (l *Ledger) forget(in *instance) {
	if in.device == nil && !in.seen && len(in.held)+len(in.pending)+len(in.others)+len(in.released)+len(in.waiting) == 0 {
		delete(l.instances, in.bare)
	}
}

func (in *instance) name() types.NamespacedName {
	return types.NamespacedName{Namespace: in.namespace, Name: in.bare}
}

// slot returns slot i as it is now.
func (in *instance) slot(node string, i int) Slot {
	s := Slot{ID: v0.SlotID(in.bare, i), Index: i}
	if h, ok := in.held[i]; ok {
		s.Usage, s.Here, s.Idle = usageOf(node, s.ID, h), true, !h.idle.IsZero()
	} else if door, ok := in.pending[i]; ok {
		s.Usage, s.Here = usageOf(node, s.ID, holder{door: door}), true
	} else {
		s.Usage = in.others[i]
	}
	return s
}

// withheld tells whether a claim of slot i would be refused, although no other
// node holds it as far as this node knows. Such a slot must not be offered: the
// scheduler would send one Pod after the other here, and all would fail.
//
// A slot that is held here may also be another node's, which got it while this
// node was considered lost. And only the Instance of a shared device tells who
// holds its slots: until the agent has seen it, they are withheld. The
// exception are slots that this node holds while the arbiter is known to be
// away ([Ledger.mayDoWithout]).
func (in *instance) withheld(i int, cutOff bool) bool {
	_, held := in.held[i]
	if _, elsewhere := in.others[i]; held && elsewhere {
		return true
	}
	return in.device.shared && !in.seen && !(held && cutOff)
}

// keptBack returns the free slots that nobody may have although they are below
// the capacity: the capacity has shrunk, and as many slots beyond it are held.
// They are the last free ones, so that all nodes keep back the same slots.
func (in *instance) keptBack() map[int]bool {
	used := make(map[int]bool)
	for i := range in.held {
		used[i] = true
	}
	for i := range in.pending {
		used[i] = true
	}
	for i := range in.others {
		used[i] = true
	}
	beyond := 0
	for i := range used {
		if i >= in.device.capacity {
			beyond++
		}
	}
	if beyond == 0 {
		return nil
	}
	kept := make(map[int]bool, beyond)
	for i := in.device.capacity - 1; i >= 0 && len(kept) < beyond; i-- {
		if !used[i] {
			kept[i] = true
		}
	}
	return kept
}

// usage returns this node's part of spec.deviceUsage.
func (in *instance) usage(node string) map[string]v0.Usage {
	usage := make(map[string]v0.Usage, len(in.held))
	for i, h := range in.held {
		id := v0.SlotID(in.bare, i)
		usage[id] = usageOf(node, id, h)
	}
	return usage
}

func usageOf(node, slotID string, h holder) v0.Usage {
	u := v0.Usage{Node: node, Door: h.door}
	if h.door == v0.DoorConfiguration {
		u.VirtualDevice = cmp.Or(h.virtual, slotID)
	}
	return u
}

// claims returns all claims, sorted. The caller holds mu.
func (l *Ledger) claims() []Claim {
	claims := []Claim{}
	for _, in := range l.instances {
		for i, h := range in.held {
			claims = append(claims, Claim{Instance: in.name(), Slot: i, Door: h.door, VirtualDevice: h.virtual})
		}
	}
	slices.SortFunc(claims, Claim.compare)
	return claims
}
