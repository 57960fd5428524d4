package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
)

// maxRounds bounds how often one Instance is planned in a row; after that it
// waits as if it had failed.
const maxRounds = 16

// errAgain asks for another plan at once: the Instance has changed.
var errAgain = errors.New("the Instance has changed meanwhile")

func (p *Publisher) work(ctx context.Context) {
	for {
		name, shutdown := p.queue.Get()
		if shutdown {
			return
		}
		p.taken()
		p.reconcile(ctx, name)
		p.queue.Done(name)
	}
}

// reconcile makes one Instance what is wanted, or arranges another try. A claim
// that waits comes first.
func (p *Publisher) reconcile(ctx context.Context, name types.NamespacedName) {
	for range maxRounds {
		if pc := p.waiting(name); pc != nil {
			p.answer(name, pc, p.claim(ctx, name, pc))
		} else if p.publish(ctx, name) {
			return
		}
	}
	want, _ := p.look(name)
	p.failed(ctx, name, want, errRestless(name))
}

// errRestless says that an Instance has changed in each of [maxRounds].
func errRestless(name types.NamespacedName) error {
	return fmt.Errorf("instance %s: it changed %d times in a row while it was written", name, maxRounds)
}

// publish makes one step towards what is wanted of an Instance. It returns true
// if nothing more is to be done now.
func (p *Publisher) publish(ctx context.Context, name types.NamespacedName) (done bool) {
	want, have := p.look(name)
	d := p.decide(want, have)
	if want.isRead() && len(d.Writes) == 0 {
		p.done(name, want, d, have)
		return true
	}
	if !p.opts.API.Reachable() {
		p.park(name)
		return true
	}
	err := p.advance(ctx, name, want, d, have)
	if err == nil || errors.Is(err, errAgain) {
		return false
	}
	p.failed(ctx, name, want, err)
	return true
}

// look returns what is wanted and what is there.
func (p *Publisher) look(name types.NamespacedName) (Want, *v0.Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := Want{Instance: name}
	var have *v0.Instance
	if o := p.observed[name]; o != nil {
		have = o.object
	}
	g := p.goals[name]
	if g == nil {
		return want, have
	}
	want.Word, want.Device, want.Claims, want.Outdated = g.word, g.device, g.claims, g.outdated
	want.changes = g.changes
	want.NameTaken = p.names[name.Name]
	if _, ok := p.unread[name]; ok {
		want.unread = name
	} else if have == nil && g.word == Present {
		want.Elsewhere, want.unread = p.elsewhere(g.device)
	}
	want.Vanished, want.Hard = g.vanished, g.hard
	want.Settled = !g.differs.IsZero() && time.Since(g.differs) >= settleDelay
	return want, have
}

// decide plans, unless something must be read first.
func (p *Publisher) decide(want Want, have *v0.Instance) Decision {
	if !want.isRead() {
		return Decision{}
	}
	d := Plan(p.opts.Node, want, have, time.Now())
	if p.statusMissing() {
		d.Writes = slices.DeleteFunc(d.Writes, func(w Write) bool { return w.Status })
	}
	return d
}

// advance reads what must be read first, or else writes what was decided.
func (p *Publisher) advance(ctx context.Context, name types.NamespacedName, want Want, d Decision, have *v0.Instance) error {
	if !want.isRead() {
		_, err := p.refresh(ctx, want.unread)
		return err
	}
	return p.execute(ctx, name, d.Writes, have)
}

// elsewhere looks for an Instance of a device under another of its names:
// another node may have had a reason for it that this node does not know. An
// Instance that must be read first is returned as unread. The caller holds
// p.mu.
func (p *Publisher) elsewhere(d inventory.Device) (found *v0.Instance, unread types.NamespacedName) {
	for n := range 1 + v0.OtherDeviceHashes {
		name := types.NamespacedName{
			Namespace: d.Instance.Namespace,
			Name:      v0.InstanceName(d.Configuration, v0.NthDeviceHash(d.Reported.ID, p.opts.Node, d.Shared, n)),
		}
		was := p.observed[name]
		if name != d.Instance && was != nil && was.object.DeletionTimestamp == nil && isOf(p.opts.Node, d, was.object) &&
			was.object.Annotations[v0.AnnotationDeviceID] == d.Reported.ID && !p.leaves(name) {
			return was.object, types.NamespacedName{}
		}
		if other, ok := p.unread[name]; ok && name != d.Instance && d.Shared && other.device == digest(d.Reported.ID) {
			return nil, name
		}
	}
	return nil, types.NamespacedName{}
}

// leaves tells whether this node is about to delete an Instance. The caller
// holds p.mu.
func (p *Publisher) leaves(name types.NamespacedName) bool {
	g, o := p.goals[name], p.observed[name].object
	return g != nil && g.word == Gone && len(o.Spec.Nodes) < 2
}

func (p *Publisher) statusMissing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noStatus
}
