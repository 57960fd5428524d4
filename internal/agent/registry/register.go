package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

var (
	errMixed = errors.New("a mix of shared and local devices under one handler name")
	errFull  = errors.New("too many registrations")
)

// add registers an endpoint and has it asked. If it is registered already, it
// is kept, and its streams that wait ask at once.
func (r *Registry) add(e *endpoint) error {
	err := r.tryAdd(e, nil)
	if err == nil {
		return nil
	}
	dead := r.dead(e)
	if len(dead) == 0 {
		return err
	}
	return r.tryAdd(e, dead)
}

// tryAdd lets e take the place of endpoints that are dead. All in one step: what
// is taken over at once was never without a handler.
func (r *Registry) tryAdd(e *endpoint, dead []*endpoint) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range dead {
		r.log.Info("endpoint dropped: nobody answers there", "handler", other.name, "endpoint", other.id)
		r.remove(other)
		defer r.orphaned(other.name)
	}
	h := r.handlers[e.name]
	if h != nil {
		if known := h.endpoints[e.id]; known != nil && known.shared == e.shared {
			r.again(known)
			return nil
		} else if known != nil && len(h.endpoints) == 1 {
			r.remove(known) // the handler was started anew, with another setting
			h = nil
		}
	}
	switch {
	case h == nil && len(r.handlers) >= r.rules.Names:
		return fmt.Errorf("%w: %d handler names", errFull, len(r.handlers))
	case h == nil:
		h = &handler{shared: e.shared, endpoints: make(map[string]*endpoint)}
		r.handlers[e.name] = h
	case h.shared != e.shared:
		return fmt.Errorf("%w: handlers of the name %s are registered with shared=%t, this one has shared=%t; "+
			"stop them or use another name", errMixed, show(e.name), h.shared, e.shared)
	case len(h.endpoints) >= r.rules.Endpoints:
		return fmt.Errorf("%w: %d endpoints of the name %s", errFull, len(h.endpoints), show(e.name))
	}
	r.registrations++
	e.registration = r.registrations
	h.endpoints[e.id] = e
	r.say(e, types.NamespacedName{}, slog.LevelInfo, "handler registered", "shared", e.shared)
	for _, a := range r.questions {
		if a.Handler == e.name {
			r.mail.forget(func(p place) bool { return p.configuration == a.Configuration && p.endpoint == "" })
			r.open(a, e)
		}
	}
	return nil
}

// again is for an endpoint that registered again. A stream of it that lives is
// kept: an end of its connection would have ended it, and handlers register
// again whenever any of their streams was dropped.
func (r *Registry) again(e *endpoint) {
	e.since = time.Time{}
	for _, a := range r.questions {
		if s := a.streams[e]; s != nil {
			s.wakeUp()
		}
	}
}

// dead finds the endpoints that stand in e's way and that nobody answers at.
func (r *Registry) dead(e *endpoint) []*endpoint {
	r.mu.Lock()
	var doubtful []*endpoint
	for name, h := range r.handlers {
		if name == e.name || r.handlers[e.name] == nil {
			for _, other := range h.endpoints {
				doubtful = append(doubtful, other)
			}
		}
	}
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var mu sync.Mutex
	var dead []*endpoint
	var checks sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, other := range doubtful {
		checks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			// No time left is no sign of death.
			if err := other.source.check(ctx); err != nil && ctx.Err() == nil {
				mu.Lock()
				dead = append(dead, other)
				mu.Unlock()
			}
		})
	}
	checks.Wait()
	return dead
}
