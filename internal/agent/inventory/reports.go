package inventory

import (
	"time"

	"github.com/akri-go/akri/internal/agent/registry"
)

// Reported implements [registry.Observer].
func (v *Inventory) Reported(r registry.Report) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.requests[r.Configuration]
	if q == nil || q.Question != r.Question {
		return nil // an answer to a question of the past
	}
	size := sizeOf(r.Devices)
	if err := v.makeRoom(q, r.Endpoint, size); err != nil {
		return err
	}
	for name, s := range q.sources {
		outdated := s.Question != r.Question && s.Handler != q.Handler
		if outdated || s.adopted() {
			delete(q.sources, name)
		}
	}
	q.sources[r.Endpoint] = Source{
		Endpoint: r.Endpoint,
		Handler:  q.Handler,
		Question: r.Question,
		Shared:   r.Shared,
		Devices:  r.Devices,
		size:     size,

		Registration: r.Registration,
		Alone:        r.Alone,
	}
	delete(q.failures, r.Endpoint)
	delete(q.failures, "")
	delete(q.refused, r.Endpoint)
	delete(q.refused, adoptedLocal)
	delete(q.refused, adoptedShared)
	if r.Refused != nil {
		q.refused[r.Endpoint] = r.Refused
	}
	q.heard = r.Received
	v.plan(q)
	q.heard = time.Time{}
	v.changed()
	return nil
}

// Failed implements [registry.Observer].
func (v *Inventory) Failed(f registry.Failure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.requests[f.Configuration]
	if q == nil || q.Question != f.Question {
		return
	}
	if f.Endpoint != "" {
		delete(q.failures, "")
	}
	q.failures[f.Endpoint] = f
	if f.Final {
		// The handler is there and refuses: what it said to an earlier
		// question is no answer to this one.
		for name, s := range q.sources {
			if s.Question != f.Question {
				delete(q.sources, name)
			}
		}
	}
	v.plan(q)
}

// Lost implements [registry.Observer].
func (v *Inventory) Lost(l registry.Loss) {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.requests[l.Configuration]
	if q == nil || q.Question != l.Question {
		return
	}
	if s, ok := q.sources[l.Endpoint]; ok && !s.Lost {
		up, _ := v.opts.UpTime.Elapsed()
		s.Lost, s.LostAt, s.Alone, s.Registration = true, up, l.Alone, l.Registration
		q.sources[l.Endpoint] = s
	} else { // it is no longer registered
		delete(q.failures, l.Endpoint)
		delete(q.refused, l.Endpoint)
	}
	v.plan(q)
}
