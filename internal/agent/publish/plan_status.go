package publish

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/jsonpatch"
	"github.com/akri-go/akri/internal/shorten"
)

// status writes this node's entry of status.nodes, if it has more to say than
// that the device is online.
func (p *planner) status() {
	d := p.want.Device
	var e *v0.InstanceNode
	switch {
	case d.State == v0.DeviceOffline:
		e = &v0.InstanceNode{Name: p.node, State: v0.DeviceOffline, Reason: d.Reason, Since: seconds(d.Since)}
	case p.out.Differs && p.want.Settled:
		e = &v0.InstanceNode{
			Name: p.node, State: v0.DeviceOnline, Reason: v0.ReasonPropertiesDiffer,
			Message: p.difference(), Since: seconds(p.now),
		}
	case p.out.Differs && p.reported(v0.ReasonPropertiesDiffer): // already said
		said := p.have.Status.Nodes[p.entryIndex()]
		e = &said
	}
	if slots := p.outdated(); len(slots) > 0 {
		if e == nil {
			e = &v0.InstanceNode{
				Name: p.node, State: v0.DeviceOnline, Reason: v0.ReasonDeviceChanged,
				Message: fmt.Sprintf("slots whose containers have the device as it was before: %d", len(slots)), Since: seconds(p.now),
			}
		}
		e.Outdated = slots
	} else if e != nil {
		e.Outdated = nil
	}
	p.setEntry(e)
}

// outdated returns the outdated slots that this node still holds. While they are
// not known, those in the status stay.
func (p *planner) outdated() []v0.OutdatedSlot {
	slots := p.want.Outdated
	if at := p.entryIndex(); slots == nil && at >= 0 {
		slots = p.have.Status.Nodes[at].Outdated
	}
	if p.want.Claims == nil {
		return slots
	}
	var held []v0.OutdatedSlot
	for _, s := range slots {
		if _, ok := p.want.Claims[s.Slot]; ok {
			held = append(held, s)
		}
	}
	return held
}

func (p *planner) reported(reason string) bool {
	at := p.entryIndex()
	return at >= 0 && p.have.Status.Nodes[at].Reason == reason
}

func (p *planner) entryIndex() int {
	return slices.IndexFunc(p.have.Status.Nodes, func(n v0.InstanceNode) bool { return n.Name == p.node })
}

// setEntry writes this node's entry of status.nodes, or removes it if e is nil.
func (p *planner) setEntry(e *v0.InstanceNode) {
	o, at := p.have, p.entryIndex()
	switch {
	case e == nil && at < 0:
	case e == nil:
		path := jsonpatch.Pointer("status", "nodes", strconv.Itoa(at))
		p.write(Write{Verb: Patch, Status: true, UID: o.UID, Ops: []jsonpatch.Op{jsonpatch.Test(path+"/name", p.node), jsonpatch.Remove(path)}})
	default:
		if at >= 0 && p.sameEntry(o.Status.Nodes[at], *e) {
			return
		}
		w := Write{Verb: Apply, Status: true, Force: true, UID: o.UID, Object: newObject(p.want.Instance, o.UID)}
		w.Object.Status = &ObjectStatus{Nodes: []v0.InstanceNode{*e}}
		p.write(w)
	}
}

// sameEntry compares entries. The time since when a device differs does not
// matter; the time since when it is offline does.
func (p *planner) sameEntry(a, b v0.InstanceNode) bool {
	return a.State == b.State && a.Reason == b.Reason && a.Message == b.Message && slices.Equal(a.Outdated, b.Outdated) &&
		(b.State == v0.DeviceOnline || a.Since.Equal(b.Since))
}

// maxMessageBytes is the limit of the message in the CRD.
const maxMessageBytes = 1024

// difference names what differs between this node and the leader, without the
// values, which may be long.
func (p *planner) difference() string {
	d, o := p.want.Device, p.have
	var parts []string
	if o.Spec.Capacity != int64(d.Capacity) {
		parts = append(parts, fmt.Sprintf("capacity %d", d.Capacity))
	}
	mine := d.Properties()
	var keys []string
	for k, v := range mine {
		if live, ok := o.Spec.BrokerProperties[k]; !ok || live != v {
			keys = append(keys, quoted(k))
		}
	}
	for k := range o.Spec.BrokerProperties {
		if _, ok := mine[k]; !ok {
			keys = append(keys, quoted(k))
		}
	}
	slices.Sort(keys)
	if len(keys) > 0 {
		parts = append(parts, "properties "+strings.Join(keys, ", "))
	}
	return shorten.Text(fmt.Sprintf("differs from node %s: %s", quoted(o.Spec.Nodes[0]), strings.Join(parts, "; ")), maxMessageBytes)
}

// seconds returns a time with the precision of the API.
func seconds(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}
