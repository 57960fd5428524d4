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
	// Unknown: nothing yet, as after a start. The facts stay as they are.
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
	// Asked tells that a container waits for some of Claims. The others are
	// held already.
	Asked bool
	// Outdated are the slots of Claims whose containers have the device as it was
	// before. Nil means that this is not known.
	Outdated []v0.OutdatedSlot

	// NameTaken tells that a Configuration has the Instance's name: both would be
	// the same resource.
	NameTaken bool
	// Elsewhere is an Instance of the device under another of its names, or
	// nil. It counts if there is none under this one.
	Elsewhere *v0.Instance
	// Vanished tells that the Instance was deleted, and not by this node: it is
	// created again only if its Configuration is still there.
	Vanished bool
	// Settled tells that the properties have differed long enough to say so.
	Settled bool
	// Hard tells that giving up the fields of this node was refused, because the
	// Instance needs them and nobody else owns them: only the node's name goes.
	Hard bool

	changes int // of the goal that this was read from
	// unread is an Instance that must be read first: this one, or one that may be
	// of the device under another of its names. Zero if there is none.
	unread types.NamespacedName
}

// isRead tells whether all that a decision needs is known.
func (w Want) isRead() bool { return w.unread == types.NamespacedName{} }

// Decision is what to do about one Instance.
type Decision struct {
	// Writes are to be done in this order.
	Writes []Write
	// Problem says why nothing is written for a device that is there. If an
	// Instance belongs to another device, or the device has one under another
	// name, Name is that Instance's name, and ID the id of its device; "" if
	// this node cannot have that device.
	Problem  error
	Name, ID string
	// Taken are the slots of Want.Claims that other nodes hold.
	Taken []string
	// Beyond are the slots of Want.Claims beyond the Instance's capacity.
	Beyond []string
	// Differs tells that this node sees other properties than the leader.
	Differs bool
}

// Plan decides what a node writes to one Instance, given what it wants and the
// Instance as it is; have is nil if there is none. Now is for timestamps.
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
	case len(have.Spec.Nodes) == 0 && want.Claims != nil && !p.isHeld():
		p.delete() // it was kept for the last slot, which this node has freed
	default:
		p.claims(want.Claims)
		if isLeftover(node, have) {
			p.setEntry(nil)
		}
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

// full returns all facts of this node about its device.
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

// create creates the Instance. It is not forced: if there is one that the watch
// did not show, the API server answers with a conflict.
func (p *planner) create() {
	d := p.want.Device
	w := Write{Verb: Apply, Object: p.full("", int64(d.Capacity), d.Properties())}
	if p.want.Vanished {
		w.Owner = d.Owner
	}
	p.write(w)
}

// facts makes the Instance show what this node sees of the device.
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
		// Properties that are too many go with this write if this node owns them;
		// if not, the next round removes them.
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

// follow joins an Instance that another node leads. It applies the values that
// are there, of the properties that this node has too or has applied before:
// only the leader removes properties.
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

// frameIsRight tells whether all is as it should be, except capacity and
// properties.
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

// leave removes this node from the Instance, or deletes the Instance if no other
// node has it.
//
// The Instance of a shared device stays without nodes while a slot is held. If the
// device comes back, the first node that sees it must know what containers of other
// nodes still have.
func (p *planner) leave() {
	o := p.have
	at := slices.Index(o.Spec.Nodes, p.node)
	last := len(o.Spec.Nodes) == 0 || len(o.Spec.Nodes) == 1 && at == 0
	if last && !(o.Spec.Shared && p.isHeld()) {
		p.delete()
		return
	}
	p.claims(p.want.Claims) // slots that containers still use stay held
	switch {
	case at < 0:
	case ownedBy(p.node, o).any && !p.want.Hard && !last:
		p.write(Write{Verb: Apply, UID: o.UID, Object: newObject(p.want.Instance, o.UID)})
	default:
		p.write(Write{Verb: Patch, UID: o.UID, Ops: removeNode(at, p.node)})
	}
	p.setEntry(nil)
}

func (p *planner) delete() {
	p.write(Write{Verb: Delete, UID: p.have.UID, ResourceVersion: p.have.ResourceVersion})
}

// dropFinalizer removes the finalizer of upstream's agent of this node. Nobody
// else would, and the Instance could never be deleted.
func (p *planner) dropFinalizer() {
	if at := slices.Index(p.have.Finalizers, p.node); at >= 0 {
		path := jsonpatch.Pointer("metadata", "finalizers", strconv.Itoa(at))
		p.write(Write{Verb: Patch, UID: p.have.UID, Ops: jsonpatch.RemoveIf(path, p.node)})
	}
}

// maxQuotedBytes bounds what errors quote of names from outside.
const maxQuotedBytes = 64

func quoted(s string) string { return shorten.Text(s, maxQuotedBytes) }
