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
	"github.com/akri-go/akri/internal/agent/kubeclient"
)

// errNoOwner says that the Configuration is gone, or was replaced by another with
// its name.
var errNoOwner = errors.New("its Configuration is gone")

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
		if g := p.goals[name]; g != nil {
			g.wrote = true
			g.moved(p.opts.Node, have, o)
		}
		if o == nil {
			p.vanish(name, w.UID)
		} else {
			p.learn(o)
		}
		p.mu.Unlock()
		p.changes.add(name)
	}
	return nil
}

// moved notes whether a write has added the node to the Instance or removed it.
func (g *goal) moved(node string, have, now *v0.Instance) {
	was := have != nil && slices.Contains(have.Spec.Nodes, node)
	is := now != nil && slices.Contains(now.Spec.Nodes, node)
	g.joined = g.joined || !was && is
	g.left = g.left || was && !is && g.word == Gone
}

// send sends a write. It returns nil if the Instance is gone afterwards.
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

// explain decides what an error means. If the view may be outdated, it reads the
// Instance live.
func (p *Publisher) explain(ctx context.Context, name types.NamespacedName, w Write, have *v0.Instance, err error) error {
	err = fmt.Errorf("%s instance %s: %w", w.Verb, name, err)
	// The Instance may need what the node gives up, if nobody else owns it. The
	// schema refuses that, or the node policies before it.
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
		p.goal(name).hard = true
		p.mu.Unlock()
		return errAgain
	}
	return err
}

// checkOwner reads live whether the Configuration is there.
func (p *Publisher) checkOwner(ctx context.Context, name types.NamespacedName, uid types.UID) error {
	p.mu.Lock()
	configuration := types.NamespacedName{Namespace: name.Namespace, Name: p.goal(name).device.Configuration}
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
