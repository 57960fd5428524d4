package registry

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// Ask has all handlers of q's name asked, now and whenever one registers. It
// replaces an earlier question of the same Configuration; to ask the same again
// does nothing. Of the earlier question no more is reported once Ask returns,
// but for a call of the observer that is under way.
func (r *Registry) Ask(q Question) {
	a := &asked{Question: q, id: q.ID(), streams: make(map[*endpoint]*stream)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.questions[q.Configuration]; old != nil {
		if old.id == a.id {
			return
		}
		r.quit(old)
		defer r.openWaiting()
	}
	r.questions[q.Configuration] = a
	if r.handlers[q.Handler] == nil {
		r.nobody(a)
		return
	}
	r.askAll(a)
}

// Drop ends a Configuration's question, as Ask ends an earlier one.
func (r *Registry) Drop(configuration types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.questions[configuration]; a != nil {
		r.quit(a)
		delete(r.questions, configuration)
		r.openWaiting()
	}
}

// The functions below are called with r.mu held.

func (r *Registry) quit(a *asked) {
	for _, s := range a.streams {
		s.cancel()
		r.release(s)
	}
	r.mail.forget(func(p place) bool { return p.configuration == a.Configuration })
}

func (r *Registry) nobody(a *asked) {
	r.mail.failed(Failure{
		Configuration: a.Configuration,
		Question:      a.id,
		Err:           fmt.Errorf("no discovery handler %s is registered on this node: does its Pod run here?", show(a.Handler)),
	})
}

func (r *Registry) askAll(a *asked) {
	h := r.handlers[a.Handler]
	if h == nil {
		return
	}
	for _, e := range h.endpoints {
		r.open(a, e)
	}
}

func (r *Registry) open(a *asked, e *endpoint) {
	if r.ctx == nil || r.ctx.Err() != nil || a.streams[e] != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	s := &stream{registry: r, question: a.Question, id: a.id, endpoint: e, cancel: cancel, wake: make(chan struct{}, 1)}
	if err := r.reserve(s); err != nil {
		cancel()
		r.mail.failed(Failure{Configuration: a.Configuration, Question: a.id, Endpoint: e.id, Err: err})
		return
	}
	a.streams[e] = s
	r.running.Go(func() { s.run(ctx) })
}
