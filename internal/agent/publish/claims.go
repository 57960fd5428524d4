package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// Errors of [Publisher.Claim].
var (
	// ErrUnreachable: the arbiter does not answer, so nobody can say who holds
	// the slot.
	ErrUnreachable = errors.New("the API server cannot be reached")
	// ErrNoInstance: there is no Instance, or this node is not among its
	// nodes.
	ErrNoInstance = errors.New("the device has no Instance with this node")
)

// claimRequest is a call of Claim that waits.
type claimRequest struct {
	ctx    context.Context
	claims map[string]v0.Usage
	done   chan error // room for one
	// looked tells that a refusal was checked against the live Instance.
	looked bool
}

// Claim makes the slots of an Instance that this node holds to be claims, all
// of them, by slot id, and returns once the API server has said yes. If another
// node holds one of the slots nothing changes, and the error wraps [ledger.ErrTaken].
// Other errors: [ErrUnreachable], [ErrNoInstance], those of ctx and of the API
// server; then the slots may or may not have been taken for a moment, and will
// be as before.
//
// Claims of one Instance come one after the other: the caller of a second one
// knows the outcome of the first. The claims of a successful call are kept as
// if recorded ([Publisher.Record]).
func (p *Publisher) Claim(ctx context.Context, instance types.NamespacedName, claims map[string]v0.Usage) error {
	r := &claimRequest{ctx: ctx, claims: copyClaims(claims), done: make(chan error, 1)}
	p.mu.Lock()
	e := p.entry(instance)
	if e.request != nil {
		p.mu.Unlock()
		return fmt.Errorf("claim slots of instance %s: another claim is under way", instance)
	}
	e.request = r
	p.mu.Unlock()
	p.queue.Add(instance)
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		p.withdraw(instance, r)
		select {
		case err := <-r.done: // it was answered meanwhile
			return err
		default:
			return ctx.Err()
		}
	}
}

// withdraw takes back a request that nobody waits for any more. What of it was
// written is put right.
func (p *Publisher) withdraw(instance types.NamespacedName, r *claimRequest) {
	p.mu.Lock()
	if e := p.entries[instance]; e != nil && e.request == r {
		e.request = nil
	}
	p.mu.Unlock()
	p.queue.Add(instance)
}

// waiting returns the request that waits for an Instance, or nil.
func (p *Publisher) waiting(name types.NamespacedName) *claimRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[name]; e != nil {
		return e.request
	}
	return nil
}

// urgent tells whether somebody waits for an Instance.
func (p *Publisher) urgent(name types.NamespacedName) bool { return p.waiting(name) != nil }

// claim writes until the Instance shows the claims of a request, and returns
// nil then, or why it will not.
func (p *Publisher) claim(ctx context.Context, name types.NamespacedName, r *claimRequest) error {
	for range maxRounds {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		want, have := p.look(name)
		want.Claims = r.claims
		d := p.decide(want, have)
		if want.isRead() && (len(d.Writes) == 0 || len(d.Taken) > 0) {
			if err := p.verdict(ctx, name, r, d, have); err != errAgain {
				return err
			}
			continue
		}
		if !p.opts.Arbiter.Reachable() {
			return ErrUnreachable
		}
		if err := p.advance(ctx, name, want, d, have); err != nil && !errors.Is(err, errAgain) {
			return err
		}
	}
	return errRestless(name)
}

// verdict tells what has become of a request when there is nothing to write
// for it, or nothing that may be written.
func (p *Publisher) verdict(ctx context.Context, name types.NamespacedName, r *claimRequest, d Decision, have *v0.Instance) error {
	beyond, claims := p.beyond(name, r, d)
	if len(d.Taken)+len(beyond) == 0 && holds(have, claims) {
		return nil
	}
	if !r.looked {
		r.looked = true
		if !p.opts.Arbiter.Reachable() {
			return ErrUnreachable
		}
		live, err := p.refresh(ctx, name)
		if err != nil {
			return fmt.Errorf("read instance %s: %w", name, err)
		}
		if live != have {
			return errAgain
		}
	}
	switch {
	case d.Problem != nil:
		return d.Problem
	case len(d.Taken) > 0:
		var says []string
		for _, slot := range d.Taken {
			says = append(says, fmt.Sprintf("%s by %s", slot, quoted(usage(have.Spec.DeviceUsage[slot]).Node)))
		}
		return fmt.Errorf("claim slots of instance %s: %w: %s", name, ledger.ErrTaken, strings.Join(says, ", "))
	case len(beyond) > 0:
		return fmt.Errorf("claim slots of instance %s: it has %d slots now, too few for %s", name, have.Spec.Capacity, strings.Join(beyond, ", "))
	default:
		return fmt.Errorf("claim slots of instance %s: %w", name, ErrNoInstance)
	}
}

// beyond returns the slots beyond the capacity that a request wants and that
// were not held before, and its claims without those that were: containers have
// them from when there were more slots.
func (p *Publisher) beyond(name types.NamespacedName, r *claimRequest, d Decision) (fresh []string, claims map[string]v0.Usage) {
	claims = maps.Clone(r.claims)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, slot := range d.Beyond {
		if e := p.entries[name]; e != nil && e.claims[slot] == r.claims[slot] {
			delete(claims, slot)
		} else {
			fresh = append(fresh, slot)
		}
	}
	return fresh, claims
}

// holds tells whether an Instance shows all claims.
func holds(o *v0.Instance, claims map[string]v0.Usage) bool {
	if o == nil || o.DeletionTimestamp != nil {
		return len(claims) == 0
	}
	for slot, u := range claims {
		if o.Spec.DeviceUsage[slot] != u.String() {
			return false
		}
	}
	return true
}

// answer ends a request. If it failed, what was wanted before counts again.
func (p *Publisher) answer(name types.NamespacedName, r *claimRequest, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[name]
	if e == nil || e.request != r {
		return // withdrawn
	}
	e.request = nil
	if err == nil {
		e.claims = maps.Clone(r.claims)
	}
	r.done <- err
}

// giveUp answers all requests when the Publisher ends.
func (p *Publisher) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries {
		if e.request != nil {
			e.request.done <- context.Canceled
			e.request = nil
		}
	}
}
