package publish

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/backoff"
)

// Adopt waits until the Instances are known and returns the devices of those that
// have this node among their nodes: what the node had before, as far as the API
// server knows. Their mounts and device nodes are not known, so containers cannot
// get them yet. Instances without the full device id are left out: upstream's
// agents made them; see [legacyGrace].
func (p *Publisher) Adopt(ctx context.Context) ([]inventory.Device, error) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var devices []inventory.Device
	for name, was := range p.observed {
		if d, ok := deviceOf(p.opts.Node, name, was.object); ok {
			devices = append(devices, d)
		}
	}
	return devices, nil
}

// deviceOf builds a device from its Instance.
func deviceOf(node string, name types.NamespacedName, o *v0.Instance) (inventory.Device, bool) {
	id, ok := o.Annotations[v0.AnnotationDeviceID]
	owner := metav1.GetControllerOf(o)
	switch {
	case !ok, owner == nil, o.DeletionTimestamp != nil,
		!slices.Contains(o.Spec.Nodes, node),
		!isName(name.Name, o.Spec.ConfigurationName, id, node, o.Spec.Shared):
		return inventory.Device{}, false
	}
	d := inventory.Device{
		Instance:      name,
		Configuration: o.Spec.ConfigurationName,
		Owner:         owner.UID,
		Reported:      discovery.Device{ID: id, Properties: o.Spec.BrokerProperties},
		Shared:        o.Spec.Shared,
		Capacity:      int(o.Spec.Capacity),
		State:         v0.DeviceOnline,
	}
	for _, n := range o.Status.Nodes {
		if n.Name == node && n.State == v0.DeviceOffline {
			d.State, d.Reason = n.State, n.Reason
			if n.Since != nil {
				d.Since = n.Since.Time
			}
		}
	}
	return d, true
}

// isName tells whether the Instance of a device may have this name.
func isName(name, configuration, id, node string, shared bool) bool {
	for n := range 1 + v0.OtherDeviceHashes {
		if name == v0.InstanceName(configuration, v0.NthDeviceHash(id, node, shared, n)) {
			return true
		}
	}
	return false
}

// legacyGrace is how long an Instance that upstream's agent of this node made
// waits for a handler to report its device, counted while the API server is
// reachable. The devices of a lost handler stay as long.
const legacyGrace = 5 * time.Minute

// legacyRun takes over the Instances that upstream's agent of this node made.
// They have none of our labels, so the watches do not show them. Those whose
// device a handler reports get their labels like any Instance that is not as it
// should be; this node leaves the others in the end, as upstream's agent would.
func (p *Publisher) legacyRun(ctx context.Context) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return
	}
	for p.legacyList(ctx) != nil {
		if backoff.Sleep(ctx, 10*time.Second) != nil {
			return
		}
	}
	p.mu.Lock()
	waiting := len(p.legacy)
	p.mu.Unlock()
	if waiting == 0 {
		return
	}
	p.opts.Logger.Info("Instances of an earlier agent found", "count", waiting)
	const tick = 10 * time.Second
	for left := legacyGrace; left > 0; {
		if backoff.Sleep(ctx, tick) != nil {
			return
		}
		if p.opts.API.Reachable() {
			left -= tick
		}
	}
	p.mu.Lock()
	var gone []inventory.Device
	for name := range p.legacy {
		was := p.observed[name]
		if was == nil || !isLegacy(p.opts.Node, was.object) {
			continue
		}
		d := inventory.Device{Instance: name, Configuration: was.object.Spec.ConfigurationName, Shared: was.object.Spec.Shared}
		if owner := metav1.GetControllerOf(was.object); owner != nil {
			d.Owner = owner.UID
		}
		gone = append(gone, d)
	}
	p.mu.Unlock()
	for _, d := range gone {
		if _, err := p.refresh(ctx, d.Instance); err == nil {
			p.DeviceGone(d)
		}
	}
}

func (p *Publisher) legacyList(ctx context.Context) error {
	// Without our labels; those that have them are in the watches.
	selector := "!" + v0.LabelShared + ",!" + v0.LabelNode
	err := p.opts.API.EachInstance(ctx, selector, func(o *v0.Instance) {
		if !isLegacy(p.opts.Node, o) {
			return
		}
		p.trim(o)
		name := nameOf(o)
		p.mu.Lock()
		if p.observed[name] == nil {
			p.see(o, true)
		}
		if g := p.goals[name]; g == nil || g.word == Unknown {
			p.legacy[name] = true
		}
		p.mu.Unlock()
		p.observedChange(name)
	})
	if err != nil && ctx.Err() == nil {
		p.opts.Logger.Warn("cannot look for Instances of an earlier agent; trying again", "error", err)
	}
	return err
}

// isLegacy tells whether upstream's agent of this node has made an Instance.
func isLegacy(node string, o *v0.Instance) bool {
	return o.Labels[v0.LabelShared] == "" && o.Labels[v0.LabelNode] == "" &&
		(slices.Contains(o.Spec.Nodes, node) || slices.Contains(o.Finalizers, node))
}
