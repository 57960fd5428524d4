package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
)

// maxRounds bounds how often one Instance is planned again at once; after that
// it waits as if it had failed.
const maxRounds = 16

// errAgain asks for another plan at once: the Instance was not as thought.
var errAgain = errors.New("the Instance has changed meanwhile")

// errNoOwner says that the Configuration is gone, or another of that name is
// there.
var errNoOwner = errors.New("its Configuration is gone")

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

// reconcile brings one Instance to what is wanted, or arranges another try.
func (p *Publisher) reconcile(ctx context.Context, name types.NamespacedName) {
	for range maxRounds {
		want, have, request := p.look(name)
		if request != nil && request.ctx.Err() != nil {
			p.answer(name, request, request.ctx.Err())
			continue
		}
		var d Decision
		unread := want.unread != types.NamespacedName{}
		if !unread {
			d = Plan(p.opts.Node, want, have, time.Now())
		}
		if p.statusMissing() {
			d.Writes = slices.DeleteFunc(d.Writes, func(w Write) bool { return w.Status })
		}
		if !unread && (len(d.Writes) == 0 || (request != nil && len(d.Taken) > 0)) {
			if request != nil {
				err := p.verdict(ctx, name, request, d, have)
				if err != errAgain {
					p.answer(name, request, err)
				}
				continue
			}
			p.done(name, want, d, have)
			return
		}
		if !p.opts.API.Reachable() {
			if request != nil {
				p.answer(name, request, ErrUnreachable)
				continue
			}
			p.park(name)
			return
		}
		var err error
		if unread {
			_, err = p.refresh(ctx, want.unread)
		} else {
			err = p.execute(ctx, name, d.Writes, have)
		}
		if err != nil && !errors.Is(err, errAgain) {
			if request != nil {
				p.answer(name, request, err)
				continue
			}
			p.failed(ctx, name, want, err)
			return
		}
	}
	want, _, request := p.look(name)
	err := fmt.Errorf("instance %s: it changed %d times in a row while it was written", name, maxRounds)
	if request != nil {
		p.answer(name, request, err)
	}
	p.failed(ctx, name, want, err)
}

// look returns what is wanted, what is there, and who waits for a claim.
func (p *Publisher) look(name types.NamespacedName) (Want, *v0.Instance, *claimRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := Want{Instance: name}
	var have *v0.Instance
	if o := p.observed[name]; o != nil {
		have = o.object
	}
	e := p.entries[name]
	if e == nil {
		return want, have, nil
	}
	want.Word, want.Device, want.Claims, want.Outdated = e.word, e.device, e.claims, e.outdated
	want.changes = e.changes
	want.NameTaken = p.names[name.Name]
	if _, ok := p.unread[name]; ok {
		want.unread = name
	} else if have == nil && e.word == Present {
		want.Elsewhere, want.unread = p.elsewhere(e.device)
	}
	want.Vanished, want.Hard = e.vanished, e.hard
	want.Settled = !e.differs.IsZero() && time.Since(e.differs) >= settle
	if e.request != nil {
		want.Claims = e.request.claims
	}
	return want, have, e.request
}

// elsewhere looks for an Instance of a device by another of its names: another
// node may have had a reason for it that this one does not know. One that has to
// be read to know is returned as unread. The caller holds p.mu.
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
	e, o := p.entries[name], p.observed[name].object
	return e != nil && e.word == Gone && len(o.Spec.Nodes) < 2
}

// execute does the writes in order.
func (p *Publisher) execute(ctx context.Context, name types.NamespacedName, writes []Write, have *v0.Instance) error {
	for _, w := range writes {
		if w.Owner != "" {
			if err := p.checkOwner(ctx, name, w.Owner); err != nil {
				return err
			}
		}
		start := time.Now()
		o, err := p.send(ctx, name, w)
		if err != nil {
			return p.explain(ctx, name, w, have, err)
		}
		if p.opts.Written != nil {
			p.opts.Written(name, w.Verb, time.Since(start))
		}
		p.mu.Lock()
		if e := p.entries[name]; e != nil {
			e.wrote = true
			e.moved(p.opts.Node, have, o)
		}
		if o == nil {
			p.vanish(name, w.UID)
		} else {
			p.trim(o)
			if was := p.observed[name]; was == nil || newer(o.ResourceVersion, was.object.ResourceVersion) {
				p.see(o, true)
			}
		}
		p.mu.Unlock()
		p.changes.add(name)
	}
	return nil
}

// moved notes whether a write has taken the node into the Instance or out.
func (e *entry) moved(node string, have, now *v0.Instance) {
	was := have != nil && slices.Contains(have.Spec.Nodes, node)
	is := now != nil && slices.Contains(now.Spec.Nodes, node)
	e.joined = e.joined || !was && is
	e.left = e.left || was && !is && e.word == Gone
}

// send makes the request. It returns nil if the Instance is gone then.
func (p *Publisher) send(ctx context.Context, name types.NamespacedName, w Write) (*v0.Instance, error) {
	manager := FactsManager(p.opts.Node)
	if w.Slots {
		manager = SlotsManager(p.opts.Node)
	}
	subresource := ""
	if w.Status {
		subresource = "status"
	}
	switch w.Verb {
	case Delete:
		gone, err := p.opts.API.DeleteInstance(ctx, name, w.UID, w.ResourceVersion)
		if err != nil || gone {
			return nil, err
		}
		return p.refresh(ctx, name)
	case Patch:
		body, err := json.Marshal(w.Ops)
		if err != nil {
			return nil, err
		}
		return p.opts.API.PatchInstance(ctx, name, subresource, manager, body)
	default:
		body, err := json.Marshal(w.Object)
		if err != nil {
			return nil, err
		}
		return p.opts.API.ApplyInstance(ctx, name, kubeclient.Apply{Manager: manager, Force: w.Force, Subresource: subresource, Body: body})
	}
}

// explain decides what an error means. Whatever may come of an outdated view
// is looked at again, live.
func (p *Publisher) explain(ctx context.Context, name types.NamespacedName, w Write, have *v0.Instance, err error) error {
	err = fmt.Errorf("%s instance %s: %w", w.Verb, name, err)
	// What a node gives up may be what the Instance must have, and nobody else
	// owns; the node policies may say so before the schema does.
	needed := w.leaves() && (apierrors.IsInvalid(err) || apierrors.IsForbidden(err))
	conflict := apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err)
	if !conflict && !needed {
		return err
	}
	live, e := p.refresh(ctx, name)
	if e != nil {
		return e
	}
	switch {
	case (live == nil) != (have == nil),
		live != nil && (live.UID != have.UID || live.ResourceVersion != have.ResourceVersion):
		return errAgain
	case w.Verb == Delete && live == nil:
		return errAgain
	case w.Status && apierrors.IsNotFound(err) && live != nil:
		p.mu.Lock()
		first := !p.noStatus
		p.noStatus = true
		p.mu.Unlock()
		if first {
			p.opts.Logger.Warn("the CRD of Instances has no status subresource: per-node states are not shown; update it with the chart's crds/")
		}
		return errAgain
	case needed:
		p.mu.Lock()
		p.entry(name).hard = true
		p.mu.Unlock()
		return errAgain
	}
	return err
}

// checkOwner makes sure, live, that the Configuration is there.
func (p *Publisher) checkOwner(ctx context.Context, name types.NamespacedName, uid types.UID) error {
	p.mu.Lock()
	configuration := types.NamespacedName{Namespace: name.Namespace, Name: p.entry(name).device.Configuration}
	p.mu.Unlock()
	c, err := p.opts.API.GetConfiguration(ctx, configuration)
	switch {
	case err != nil:
		return fmt.Errorf("read Configuration %s: %w", configuration, err)
	case c == nil || c.UID != uid || c.DeletionTimestamp != nil:
		return fmt.Errorf("instance %s: %w", name, errNoOwner)
	}
	return nil
}

func (p *Publisher) statusMissing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noStatus
}
