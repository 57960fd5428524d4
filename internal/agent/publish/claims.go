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

// pendingClaim is a call of Claim that waits for its answer.
type pendingClaim struct {
	ctx    context.Context
	claims map[string]v0.Usage
	done   chan error // holds one value
	// looked tells that a refusal was checked with the live Instance.
	looked bool
}

// Claim writes the slots of an Instance that this node holds: all of them, by
// slot id. It returns nil once the API server has accepted them. If another
// node holds one of the slots nothing changes, and the error wraps
// [ledger.ErrTaken]. Other errors are [ErrUnreachable], [ErrNoInstance], those
// of ctx and of the API server. After these the slots may have been taken for a
// moment, and become what they were before.
//
// Calls for one Instance must not overlap. The claims of a successful call are
// kept as if they were recorded ([Publisher.Record]).
func (p *Publisher) Claim(ctx context.Context, instance types.NamespacedName, claims map[string]v0.Usage) error {
	pc := &pendingClaim{ctx: ctx, claims: copyClaims(claims), done: make(chan error, 1)}
	p.mu.Lock()
	g := p.goal(instance)
	if g.pending != nil {
		p.mu.Unlock()
		return fmt.Errorf("claim slots of instance %s: another claim is under way", instance)
	}
	g.pending = pc
	p.mu.Unlock()
	p.queue.Add(instance)
	select {
	case err := <-pc.done:
		return err
	case <-ctx.Done():
		p.withdraw(instance, pc)
		select {
		case err := <-pc.done: // it was answered meanwhile
			return err
		default:
			return ctx.Err()
		}
	}
}

// withdraw ends a call that nobody waits for any longer. What it has written is
// undone.
func (p *Publisher) withdraw(instance types.NamespacedName, pc *pendingClaim) {
	p.mu.Lock()
	if g := p.goals[instance]; g != nil && g.pending == pc {
		g.pending = nil
	}
	p.mu.Unlock()
	p.queue.Add(instance)
}

// waiting returns the claim that waits for an Instance, or nil.
func (p *Publisher) waiting(name types.NamespacedName) *pendingClaim {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.goals[name]; g != nil {
		return g.pending
	}
	return nil
}

// urgent tells whether a claim waits for an Instance.
func (p *Publisher) urgent(name types.NamespacedName) bool { return p.waiting(name) != nil }

// claim writes until the Instance has the claims of a call. It returns nil then,
// or why it cannot have them.
func (p *Publisher) claim(ctx context.Context, name types.NamespacedName, pc *pendingClaim) error {
	for range maxRounds {
		if err := pc.ctx.Err(); err != nil {
			return err
		}
		want, have := p.look(name)
		want.Claims, want.Asked = pc.claims, true
		d := p.decide(want, have)
		if want.isRead() && (len(d.Writes) == 0 || len(d.Taken) > 0) {
			if err := p.verdict(ctx, name, pc, d, have); err != errAgain {
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

// verdict returns the answer to a call when there is nothing to write for it, or
// nothing that may be written.
func (p *Publisher) verdict(ctx context.Context, name types.NamespacedName, pc *pendingClaim, d Decision, have *v0.Instance) error {
	beyond, claims := p.beyond(name, pc, d)
	if len(d.Taken)+len(beyond) == 0 && holds(have, claims) {
		return nil
	}
	if !pc.looked {
		pc.looked = true
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

// beyond returns the slots beyond the capacity that a call wants and that were
// not held before. It also returns the call's claims without those that were:
// their containers have them from when there were more slots.
func (p *Publisher) beyond(name types.NamespacedName, pc *pendingClaim, d Decision) (fresh []string, claims map[string]v0.Usage) {
	claims = maps.Clone(pc.claims)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, slot := range d.Beyond {
		if g := p.goals[name]; g != nil && g.claims[slot] == pc.claims[slot] {
			delete(claims, slot)
		} else {
			fresh = append(fresh, slot)
		}
	}
	return fresh, claims
}

// holds tells whether an Instance has all claims.
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

// answer ends a call. If it failed, the claims of before count again.
func (p *Publisher) answer(name types.NamespacedName, pc *pendingClaim, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.goals[name]
	if g == nil || g.pending != pc {
		return // withdrawn
	}
	g.pending = nil
	if err == nil {
		g.claims = maps.Clone(pc.claims)
	}
	pc.done <- err
}

// giveUp answers all calls when the Publisher ends.
func (p *Publisher) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.goals {
		if g.pending != nil {
			g.pending.done <- context.Canceled
			g.pending = nil
		}
	}
}
