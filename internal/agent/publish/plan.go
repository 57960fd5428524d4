package publish

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/jsonpatch"
	"github.com/akri-go/akri/internal/shorten"
)

// Word is what the inventory has said of an Instance's device.
type Word int

const (
	// Unknown: nothing yet, as after a start. Facts stay as they are.
	Unknown Word = iota
	// Present: this node has the device.
	Present
	// Gone: this node no longer has it.
	Gone
)

// Want is what a node wants of one Instance.
type Want struct {
	Instance types.NamespacedName
	Word     Word
	// Device is the one that is present or gone.
	Device inventory.Device
	// Claims are all slots that this node holds, by slot id. Nil means that
	// they are not known yet: those in the Instance stay as they are.
	Claims map[string]v0.Usage
	// Outdated are those of them whose containers were given the device as it
	// no longer is. Nil means that this is not known.
	Outdated []v0.OutdatedSlot

	// NameTaken tells that a Configuration has the Instance's name, so that
	// their resources would be one.
	NameTaken bool
	// Elsewhere is an Instance of the device by another of its names, which
	// counts if there is none by this one; or nil.
	Elsewhere *v0.Instance
	// Vanished tells that the Instance was there and is gone, not by this
	// node's doing: it is made again only if its Configuration still is.
	Vanished bool
	// Settled tells that the properties have differed long enough to say so.
	Settled bool
	// Hard tells that giving up what this node owns was refused, since nobody
	// else owns what the Instance must have: only the node's name goes.
	Hard bool

	changes int // of the entry that this was read from
	// unread is an Instance to be read before anything is decided: this one, or
	// one that may be of the device by another of its names. Zero if there is none.
	unread types.NamespacedName
}

// isRead tells whether all that a decision needs is known.
func (w Want) isRead() bool { return w.unread == types.NamespacedName{} }

// Decision is what to do about one Instance.
type Decision struct {
	// Writes are to be done in this order.
	Writes []Write
	// Problem says why nothing is written of a device that is there. If it is
	// that an Instance is another device's, or is the device's by another name,
	// Name is that Instance's, and ID the id of the device that has it; "" if
	// this node cannot have that device.
	Problem  error
	Name, ID string
	// Taken lists the slots of Want.Claims that others hold.
	Taken []string
	// Beyond lists those that the Instance has no more slots for.
	Beyond []string
	// Differs tells that this node sees other properties than the leader.
	Differs bool
}

// Plan decides what a node writes of one Instance, given what it wants and the
// Instance as it is; have is nil if there is none. Now is put into what changed.
func Plan(node string, want Want, have *v0.Instance, now time.Time) Decision {
	p := planner{node: node, want: want, have: have, now: now}
	switch {
	case have == nil:
		switch {
		case want.Word != Present:
		case want.NameTaken:
			p.out.Problem = fmt.Errorf("instance %s: %w: the resource %s is that of the Configuration of this name; rename it",
				want.Instance.Name, ErrForeign, v0.ResourceName(want.Instance.Name))
			p.out.Name = want.Instance.Name
		case want.Elsewhere != nil:
			p.out.Problem = fmt.Errorf("instance %s: %w: %s", want.Instance.Name, ErrElsewhere, want.Elsewhere.Name)
			p.out.Name, p.out.ID = want.Elsewhere.Name, want.Device.Reported.ID
		default:
			p.create()
		}
	case have.DeletionTimestamp != nil:
		p.dropFinalizer()
	case want.Word == Present:
		if p.problem(); p.out.Problem == nil && !p.replaceStale() {
			p.dropFinalizer()
			p.facts()
			p.claims(want.Claims)
			p.status()
		}
	case want.Word == Gone:
		if p.problem(); p.out.Problem == nil {
			p.dropFinalizer()
			p.leave()
		}
		p.out.Problem, p.out.Name, p.out.ID = nil, "", "" // another device's Instance: nothing to leave
	default:
		p.claims(want.Claims)
	}
	return p.out
}

type planner struct {
	node string
	want Want
	have *v0.Instance
	now  time.Time
	out  Decision
}

func (p *planner) write(w Write) {
	if w.Verb == Patch {
		w.Ops = append([]jsonpatch.Op{jsonpatch.SameUID(w.UID)}, w.Ops...)
	}
	p.out.Writes = append(p.out.Writes, w)
}

// full returns the facts of this node about its device.
func (p *planner) full(uid types.UID, capacity int64, properties map[string]string) *Object {
	d := p.want.Device
	o := newObject(p.want.Instance, uid)
	o.Metadata.Labels = labels(p.node, d)
	o.Metadata.Annotations = map[string]string{v0.AnnotationDeviceID: d.Reported.ID}
	yes := true
	o.Metadata.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v0.GroupVersion.String(), Kind: "Configuration",
		Name: d.Configuration, UID: d.Owner,
		Controller: &yes, BlockOwnerDeletion: &yes,
	}}
	shared := d.Shared
	o.Spec = &ObjectSpec{
		ConfigurationName: d.Configuration,
		CdiName:           v0.CDIName(d.Configuration, d.Hash()),
		Capacity:          &capacity,
		BrokerProperties:  properties,
		Shared:            &shared,
		Nodes:             []string{p.node},
	}
	return o
}

func labels(node string, d inventory.Device) map[string]string {
	l := map[string]string{v0.LabelConfiguration: d.Configuration}
	if d.Shared {
		l[v0.LabelShared] = "true"
	} else {
		l[v0.LabelNode] = v0.NodeLabel(node)
	}
	return l
}

// create makes the Instance. It is never forced: if there is one that the
// watch did not show, the conflict says so.
func (p *planner) create() {
	d := p.want.Device
	w := Write{Verb: Apply, Object: p.full("", int64(d.Capacity), d.Properties())}
	if p.want.Vanished {
		w.Owner = d.Owner
	}
	p.write(w)
}

// facts brings the Instance to what this node sees of the device.
func (p *planner) facts() {
	d, o := p.want.Device, p.have
	properties := d.Properties()
	if d.Shared && len(o.Spec.Nodes) > 0 && o.Spec.Nodes[0] != p.node {
		p.follow(properties)
		return
	}
	right := p.frameIsRight() && o.Spec.Capacity == int64(d.Capacity)
	for k, v := range properties {
		if live, ok := o.Spec.BrokerProperties[k]; !ok || live != v {
			right = false
		}
	}
	if !right {
		// What is too much goes with this, if it is ours; if not, the next
		// round takes it away.
		p.write(Write{Verb: Apply, Force: true, UID: o.UID, Object: p.full(o.UID, int64(d.Capacity), properties)})
		return
	}
	var ops []jsonpatch.Op
	for _, k := range slices.Sorted(maps.Keys(o.Spec.BrokerProperties)) {
		if _, ok := properties[k]; !ok {
			path := jsonpatch.Pointer("spec", "brokerProperties", k)
			ops = append(ops, jsonpatch.RemoveIf(path, o.Spec.BrokerProperties[k])...)
		}
	}
	if len(ops) > 0 {
		if d.Shared {
			ops = append([]jsonpatch.Op{jsonpatch.Test("/spec/nodes/0", p.node)}, ops...)
		}
		p.write(Write{Verb: Patch, UID: o.UID, Ops: ops})
	}
}

// follow joins an Instance that another node leads: the values that are there
// are repeated, for those properties that this node has too, or has repeated
// before: only the leader takes properties away.
func (p *planner) follow(properties map[string]string) {
	d, o := p.want.Device, p.have
	p.out.Differs = o.Spec.Capacity != int64(d.Capacity) || !maps.Equal(properties, o.Spec.BrokerProperties)
	own := ownedBy(p.node, o)
	repeated := make(map[string]string, len(properties))
	right := p.frameIsRight() && own.capacity
	for k, live := range o.Spec.BrokerProperties {
		if _, has := properties[k]; has || own.properties[k] {
			repeated[k] = live
			right = right && own.properties[k]
		}
	}
	if !right {
		p.write(Write{Verb: Apply, UID: o.UID, Object: p.full(o.UID, o.Spec.Capacity, repeated)})
	}
}

// frameIsRight tells whether all but capacity and properties is as it should be.
func (p *planner) frameIsRight() bool {
	d, o := p.want.Device, p.have
	for k, v := range labels(p.node, d) {
		if o.Labels[k] != v {
			return false
		}
	}
	owner := metav1.GetControllerOf(o)
	return owner != nil && owner.UID == d.Owner && owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion &&
		o.Annotations[v0.AnnotationDeviceID] == d.Reported.ID &&
		o.Spec.CdiName == v0.CDIName(d.Configuration, d.Hash()) &&
		o.Spec.Shared == d.Shared &&
		slices.Contains(o.Spec.Nodes, p.node)
}

// leave takes this node out of the Instance, or deletes it after the last.
func (p *planner) leave() {
	o := p.have
	at := slices.Index(o.Spec.Nodes, p.node)
	if len(o.Spec.Nodes) == 0 || len(o.Spec.Nodes) == 1 && at == 0 {
		p.write(Write{Verb: Delete, UID: o.UID, ResourceVersion: o.ResourceVersion})
		return
	}
	p.claims(p.want.Claims) // what containers still use stays held
	switch {
	case at < 0:
	case ownedBy(p.node, o).any && !p.want.Hard:
		p.write(Write{Verb: Apply, UID: o.UID, Object: newObject(p.want.Instance, o.UID)})
	default:
		p.write(Write{Verb: Patch, UID: o.UID, Ops: removeNode(at, p.node)})
	}
	p.setEntry(nil)
}

// dropFinalizer removes what upstream's agent of this node has left: nobody
// else would, and the Instance could never go.
func (p *planner) dropFinalizer() {
	if at := slices.Index(p.have.Finalizers, p.node); at >= 0 {
		path := jsonpatch.Pointer("metadata", "finalizers", strconv.Itoa(at))
		p.write(Write{Verb: Patch, UID: p.have.UID, Ops: jsonpatch.RemoveIf(path, p.node)})
	}
}

// maxQuotedBytes bounds what errors quote of names from outside.
const maxQuotedBytes = 64

func quoted(s string) string { return shorten.Text(s, maxQuotedBytes) }
