package publish

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	v0 "github.com/akri-go/akri/api/v0"
)

// observation is an Instance as it was last seen.
type observation struct {
	object *v0.Instance
	// written tells that it is the answer to a write of this node: the watch may
	// still be behind it.
	written bool
}

// unread is what is kept of an Instance that does not concern this node: whether
// the watch of shared ones has it, and of which device it is.
type unread struct {
	shared bool
	device deviceDigest
}

// deviceDigest stands for the id of a device, which may be long.
type deviceDigest [8]byte

func digest(id string) deviceDigest {
	sum := sha256.Sum256([]byte(id))
	return deviceDigest(sum[:8])
}

// newer tells whether resource version a is later than b. Versions that cannot
// be compared are taken for later.
func newer(a, b string) bool {
	c, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || c > 0
}

// concerns tells whether an Instance has anything of a node: its name in
// spec.nodes, slots, an entry in the status, or the finalizer of upstream's
// agent.
func concerns(node string, o *v0.Instance) bool {
	if slices.Contains(o.Spec.Nodes, node) || slices.Contains(o.Finalizers, node) {
		return true
	}
	for i := range o.Status.Nodes {
		if o.Status.Nodes[i].Name == node {
			return true
		}
	}
	for _, value := range o.Spec.DeviceUsage {
		if usage(value).Node == node {
			return true
		}
	}
	return false
}

// trimWatched removes from a watched Instance what this node does not need. Of an
// Instance that does not concern it, and for which it has no goal, it keeps the
// name and the device's id: a node may make many large ones, and every agent sees
// the shared ones. If the Instance matters later, it is read then.
func (p *Publisher) trimWatched(o *v0.Instance) {
	p.mu.Lock()
	wanted := p.goals[nameOf(o)] != nil
	p.mu.Unlock()
	if wanted || concerns(p.opts.Node, o) {
		p.trim(o)
		return
	}
	*o = v0.Instance{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion,
		Annotations: map[string]string{v0.AnnotationDeviceID: o.Annotations[v0.AnnotationDeviceID]},
	}}
}

// nameOnly tells whether that is all that was left of an Instance.
func nameOnly(o *v0.Instance) bool { return o.Spec.ConfigurationName == "" }

// letGo reduces an Instance that no longer concerns this node to its name. The
// caller holds p.mu.
func (p *Publisher) letGo(name types.NamespacedName) {
	was := p.observed[name]
	if was == nil || was.written || p.goals[name] != nil || concerns(p.opts.Node, was.object) {
		return
	}
	delete(p.observed, name)
	p.unread[name] = unread{
		shared: was.object.Labels[v0.LabelShared] == "true",
		device: digest(was.object.Annotations[v0.AnnotationDeviceID]),
	}
	p.changes.add(name)
}

// see notes an Instance. The caller holds p.mu.
func (p *Publisher) see(o *v0.Instance, written bool) {
	name := nameOf(o)
	p.observed[name] = &observation{object: o, written: written}
	delete(p.unread, name)
	if g := p.goals[name]; g != nil {
		g.vanished = false
	}
}

// vanish notes that an Instance is gone. The caller holds p.mu.
func (p *Publisher) vanish(name types.NamespacedName, uid types.UID) {
	was := p.observed[name]
	_, unread := p.unread[name]
	if was == nil && !unread || was != nil && was.object.UID != uid {
		return
	}
	delete(p.observed, name)
	delete(p.unread, name)
	if g := p.goals[name]; g != nil {
		g.vanished = true
	}
}

// observedChange queues an Instance that has changed.
func (p *Publisher) observedChange(name types.NamespacedName) {
	p.changes.add(name)
	p.mu.Lock()
	g := p.goals[name]
	if o := p.observed[name]; g == nil && o != nil && isLeftover(p.opts.Node, o.object) {
		g = p.goal(name)
	}
	p.mu.Unlock()
	if g != nil {
		p.queue.Add(name)
	}
}

// isLeftover tells whether an Instance has an entry of this node in its status
// although the node has left it: the agent ended between the two writes.
func isLeftover(node string, o *v0.Instance) bool {
	return !slices.Contains(o.Spec.Nodes, node) &&
		slices.ContainsFunc(o.Status.Nodes, func(n v0.InstanceNode) bool { return n.Name == node })
}

// refresh reads an Instance live.
func (p *Publisher) refresh(ctx context.Context, name types.NamespacedName) (*v0.Instance, error) {
	o, err := p.opts.API.GetInstance(ctx, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	was := p.observed[name]
	switch {
	case o == nil && was != nil:
		p.vanish(name, was.object.UID)
	case o == nil:
		p.vanish(name, "")
	default:
		o = p.learn(o)
	}
	p.mu.Unlock()
	p.changes.add(name)
	return o, nil
}

// learn takes in an Instance as the API server answered a request. It returns
// what is known now: the watch may have brought something later meanwhile, or that
// the Instance is gone, which is nil. The caller holds p.mu.
func (p *Publisher) learn(o *v0.Instance) *v0.Instance {
	name := nameOf(o)
	was := p.observed[name]
	_, unread := p.unread[name]
	switch {
	case was != nil && !newer(o.ResourceVersion, was.object.ResourceVersion):
		return was.object
	case was == nil && !unread && p.watchPassed(o):
		return nil
	}
	p.trim(o)
	p.see(o, true)
	return o
}

// tell tells the ledger the holders of an Instance's slots.
func (p *Publisher) tell(name types.NamespacedName, last map[types.NamespacedName]map[string]v0.Usage) {
	if p.opts.Observed == nil {
		return
	}
	p.mu.Lock()
	was := p.observed[name]
	p.mu.Unlock()
	before, told := last[name]
	if was == nil {
		if told {
			delete(last, name)
			p.opts.Observed(name, nil)
		}
		return
	}
	now := make(map[string]v0.Usage, len(was.object.Spec.DeviceUsage))
	for slot, value := range was.object.Spec.DeviceUsage {
		if u := usage(value); !u.Free() {
			now[slot] = u
		}
	}
	if told && maps.Equal(before, now) {
		return
	}
	last[name] = now
	p.opts.Observed(name, maps.Clone(now))
}

// changes is a set of names that are to be handled.
type changes struct {
	mu    sync.Mutex
	names map[types.NamespacedName]bool
	wake  chan struct{}
}

func newChanges() *changes {
	return &changes{names: map[types.NamespacedName]bool{}, wake: make(chan struct{}, 1)}
}

func (c *changes) add(name types.NamespacedName) {
	c.mu.Lock()
	c.names[name] = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) run(ctx context.Context, f func(types.NamespacedName, map[types.NamespacedName]map[string]v0.Usage)) {
	last := map[types.NamespacedName]map[string]v0.Usage{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		names := c.names
		c.names = map[types.NamespacedName]bool{}
		c.mu.Unlock()
		for name := range names {
			f(name, last)
		}
	}
}

func nameOf(o *v0.Instance) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
}
