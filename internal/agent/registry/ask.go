package registry

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery/contract"
)

// Ask sends a request to all handlers of its name, now and whenever one
// registers. It replaces an earlier request of the same Configuration; asking the
// same again does nothing. Once Ask returns nothing more is reported for the
// earlier request, except for a call of the observer that is under way.
func (r *Registry) Ask(q Request) {
	req := &request{Request: q, id: q.ID(), streams: make(map[*endpoint]*stream)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.requests[req.Configuration]; old != nil {
		if old.id == req.id {
			return
		}
		r.quit(old)
		defer r.openWaiting()
	}
	r.requests[req.Configuration] = req
	if r.handlers[req.Handler] == nil {
		r.nobody(req)
		return
	}
	r.askAll(req)
}

// Drop ends a Configuration's request, as Ask ends an earlier one.
func (r *Registry) Drop(configuration types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req := r.requests[configuration]; req != nil {
		r.quit(req)
		delete(r.requests, configuration)
		r.openWaiting()
	}
}

// The functions below are called with r.mu held.

func (r *Registry) quit(req *request) {
	for _, s := range req.streams {
		s.cancel()
		r.release(s)
	}
	r.mail.forget(func(p place) bool { return p.configuration == req.Configuration })
}

func (r *Registry) nobody(req *request) {
	r.mail.failed(Failure{
		Configuration: req.Configuration,
		RequestID:     req.id,
		Err:           fmt.Errorf("no discovery handler %s is registered on this node: does its Pod run here?", contract.Show(req.Handler)),
	})
}

func (r *Registry) askAll(req *request) {
	h := r.handlers[req.Handler]
	if h == nil {
		return
	}
	for _, e := range h.endpoints {
		r.open(req, e)
	}
}

func (r *Registry) open(req *request, e *endpoint) {
	if r.ctx == nil || r.ctx.Err() != nil || req.streams[e] != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	s := &stream{registry: r, request: req.Request, id: req.id, endpoint: e, cancel: cancel, wake: make(chan struct{}, 1)}
	if err := r.reserve(s); err != nil {
		cancel()
		r.mail.failed(Failure{Configuration: req.Configuration, RequestID: req.id, Endpoint: e.id, Err: err})
		return
	}
	req.streams[e] = s
	r.running.Go(func() { s.run(ctx) })
}
