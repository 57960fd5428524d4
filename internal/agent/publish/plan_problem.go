package publish

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
)

// Problems of a device whose Instance's name is in use.
var (
	ErrCollision = errors.New("the Instance belongs to another device")
	ErrForeign   = errors.New("the Instance belongs to another owner")
	ErrElsewhere = errors.New("the device has an Instance already")
)

// problem notes if the Instance belongs to another device or owner.
func (p *planner) problem() {
	d, o := p.want.Device, p.have
	owner := metav1.GetControllerOf(o)
	id, known := o.Annotations[v0.AnnotationDeviceID]
	switch {
	case o.Spec.ConfigurationName != d.Configuration:
		p.out.Problem = fmt.Errorf("instance %s: %w: it is of Configuration %s; rename one of the two",
			o.Name, ErrForeign, quoted(o.Spec.ConfigurationName))
	case owner != nil && (owner.Kind != "Configuration" || owner.Name != d.Configuration):
		p.out.Problem = fmt.Errorf("instance %s: %w: %s %s", o.Name, ErrForeign, owner.Kind, quoted(owner.Name))
	case d.Shared != o.Spec.Shared || !d.Shared && len(o.Spec.Nodes) > 0 && !slices.Contains(o.Spec.Nodes, p.node):
		// The node's name is part of a local device's hash: the other Instance
		// has this name by a rare chance, or to keep this device out.
		p.out.Problem = fmt.Errorf("instance %s: %w: node %s made it under the name of a device of node %s; if it has no such device, delete that Instance",
			o.Name, ErrForeign, quoted(strings.Join(o.Spec.Nodes, ", ")), p.node)
	case known && id != d.Reported.ID:
		p.out.Problem = fmt.Errorf("instance %s: %w: the id %q has the same hash as %q, so this one is left out",
			o.Name, ErrCollision, quoted(id), quoted(d.Reported.ID))
	}
	if p.out.Problem == nil {
		return
	}
	p.out.Name = o.Name
	if isOf(p.node, d, o) {
		p.out.ID = id
	}
}

// isOf tells whether an Instance is of some device of the same Configuration that
// this node could have.
func isOf(node string, d inventory.Device, o *v0.Instance) bool {
	owner := metav1.GetControllerOf(o)
	return o.Spec.ConfigurationName == d.Configuration && o.Spec.Shared == d.Shared &&
		(owner == nil || owner.Kind == "Configuration" && owner.Name == d.Configuration) &&
		(d.Shared || slices.Contains(o.Spec.Nodes, node))
}

// replaceStale leaves an Instance of an earlier Configuration of that name. The
// last node or the garbage collector deletes it, whichever is first; if containers
// of other nodes have slots, only the latter may.
func (p *planner) replaceStale() bool {
	o, d := p.have, p.want.Device
	owner := metav1.GetControllerOf(o)
	if owner == nil || owner.UID == d.Owner {
		return false
	}
	at := slices.Index(o.Spec.Nodes, p.node)
	switch {
	case (len(o.Spec.Nodes) == 0 || len(o.Spec.Nodes) == 1 && at == 0) && !(o.Spec.Shared && p.heldByOthers()):
		p.write(Write{Verb: Delete, UID: o.UID, ResourceVersion: o.ResourceVersion, Owner: d.Owner})
	case at >= 0:
		p.write(Write{Verb: Patch, UID: o.UID, Owner: d.Owner, Ops: removeNode(at, p.node)})
	}
	return true
}
