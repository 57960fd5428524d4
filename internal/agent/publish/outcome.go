package publish

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/events"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/backoff"
)

const (
	// settleDelay is how long properties must differ before the status says so:
	// when a Configuration changes, nodes hear of it at slightly different
	// times.
	settleDelay = 3 * time.Second

	// firstRetryDelay and maxRetryDelay are how long a failed write waits at
	// first and at most, and retryJitter is the part of it that is random.
	firstRetryDelay = 100 * time.Millisecond
	maxRetryDelay   = 30 * time.Second
	retryJitter     = 0.25
)

// park keeps an Instance aside until the API server is reachable.
func (p *Publisher) park(name types.NamespacedName) {
	p.mu.Lock()
	p.parked[name] = true
	p.mu.Unlock()
	if p.opts.API.Reachable() { // since we looked
		p.APIReachable(true)
	}
}

// done follows up when nothing is left to write.
func (p *Publisher) done(name types.NamespacedName, want Want, d Decision, have *v0.Instance) {
	if d.Name != "" && p.opts.Named != nil && p.opts.Named(want.Device, d.Name, d.ID) {
		p.opts.Logger.Info("device gets another Instance name", "device", want.Device.Reported.ID, "not", name, "reason", d.Problem)
		p.queue.Add(name) // which is no longer wanted
		return
	}
	p.mu.Lock()
	g := p.goals[name]
	if g == nil {
		p.mu.Unlock()
		return
	}
	g.failures = 0
	var again time.Duration
	switch {
	case !d.Differs:
		g.differs = time.Time{}
	case g.differs.IsZero():
		g.differs = time.Now()
		again = settleDelay + 10*time.Millisecond
	}
	problem := ""
	if d.Problem != nil {
		problem = d.Problem.Error()
		again = backoff.Jitter(maxRetryDelay, retryJitter)
		if have != nil && p.watchOf(have) == nil { // read it again then
			delete(p.observed, name)
			p.unread[name] = unread{}
		}
	}
	report := problem != "" && problem != g.problem
	g.problem = problem
	found, lost, device := g.joined && g.word == Present, g.left, g.device
	g.joined, g.left = false, false
	if g.changes == want.changes {
		if g.wrote && d.Problem == nil && !g.reported.IsZero() && p.opts.Published != nil {
			p.opts.Published(time.Since(g.reported))
		}
		g.reported, g.wrote = time.Time{}, false
	}
	idle := g.word == Gone || g.word == Unknown && len(g.claims) == 0 && (have == nil || !concerns(p.opts.Node, have))
	if idle && g.changes == want.changes && g.pending == nil {
		delete(p.goals, name)
		p.letGo(name)
	}
	p.mu.Unlock()
	p.refuse(name, device, problem)
	switch {
	case report:
		p.opts.Logger.Warn("device not published", "instance", name, "error", problem)
		p.opts.Events.Warn(events.Of(device), "DeviceRefused", problem)
	case found:
		p.opts.Events.Found(device)
	case lost:
		p.opts.Events.Lost(device)
	}
	if again > 0 {
		p.queue.AddAfter(name, again)
	}
}

// failed arranges another try.
func (p *Publisher) failed(ctx context.Context, name types.NamespacedName, want Want, err error) {
	if ctx.Err() != nil {
		return
	}
	if !p.opts.API.Reachable() {
		p.park(name)
		return
	}
	p.mu.Lock()
	g := p.goal(name)
	g.failures++
	wait := backoff.Backoff{First: firstRetryDelay, Max: maxRetryDelay, Jitter: retryJitter}.Delay(g.failures)
	// A write that is outdated or races is refused once or twice.
	lasting := g.failures > 3
	report := g.problem != err.Error()
	g.problem = err.Error()
	p.mu.Unlock()
	refused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsConflict(err) || apierrors.IsRequestEntityTooLargeError(err)
	if refused && lasting && !terminating(err) {
		p.refuse(name, want.Device, err.Error())
	}
	switch {
	case errors.Is(err, errNoOwner), terminating(err):
		// It goes away with its device: no reason to warn.
		p.opts.Logger.Debug("instance not written", "instance", name, "error", err)
	case !report:
	case refused:
		p.opts.Logger.Warn("instance not written; trying again", "instance", name, "error", err)
		p.opts.Events.Warn(events.Of(want.Device), "InstanceRefused", err.Error())
	default:
		p.opts.Logger.Warn("instance not written; trying again", "instance", name, "error", err)
	}
	p.queue.AddAfter(name, wait)
}

// refuse says in the Configuration's status why a device is not published; if why
// is "", that is no longer said.
func (p *Publisher) refuse(name types.NamespacedName, d inventory.Device, why string) {
	if d.Configuration != "" {
		p.status.refuse(types.NamespacedName{Namespace: name.Namespace, Name: d.Configuration}, name.Name, why)
	}
}

// terminating tells whether the namespace is being deleted.
func terminating(err error) bool {
	const cause metav1.CauseType = "NamespaceTerminating"
	return apierrors.HasStatusCause(err, cause)
}
