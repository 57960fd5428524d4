package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery/contract"
)

var (
	errMixed = errors.New("a mix of shared and local devices under one handler name")
	errFull  = errors.New("too many registrations")
)

// add registers an endpoint and sends requests to it. If it is registered
// already, it is kept, and those of its streams that wait ask at once.
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

// tryAdd registers e in the place of dead endpoints. It does so in one step, so
// that no request is without a handler in between.
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
			r.remove(known) // the handler was restarted with another setting
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
			"stop them or use another name", errMixed, contract.Show(e.name), h.shared, e.shared)
	case len(h.endpoints) >= r.rules.Endpoints:
		return fmt.Errorf("%w: %d endpoints of the name %s", errFull, len(h.endpoints), contract.Show(e.name))
	}
	r.registrations++
	e.registration = r.registrations
	h.endpoints[e.id] = e
	r.say(e, types.NamespacedName{}, slog.LevelInfo, "handler registered", "shared", e.shared)
	for _, req := range r.requests {
		if req.Handler == e.name {
			r.mail.forget(func(p place) bool { return p.configuration == req.Configuration && p.endpoint == "" })
			r.open(req, e)
		}
	}
	return nil
}

// again handles an endpoint that registered again. Its live streams are kept: if
// the connection had ended, they would have too. Handlers register again whenever
// one of their streams was dropped.
func (r *Registry) again(e *endpoint) {
	e.since = time.Time{}
	for _, req := range r.requests {
		if s := req.streams[e]; s != nil {
			s.wakeUp()
		}
	}
}

// dead returns the endpoints that keep e from being registered and at which
// nobody answers.
func (r *Registry) dead(e *endpoint) []*endpoint {
	r.mu.Lock()
	var inTheWay []*endpoint
	for name, h := range r.handlers {
		if name == e.name || r.handlers[e.name] == nil {
			for _, other := range h.endpoints {
				inTheWay = append(inTheWay, other)
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
	for _, other := range inTheWay {
		checks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			// Running out of time does not mean that it is dead.
			if err := other.client.check(ctx); err != nil && ctx.Err() == nil {
				mu.Lock()
				dead = append(dead, other)
				mu.Unlock()
			}
		})
	}
	checks.Wait()
	return dead
}
