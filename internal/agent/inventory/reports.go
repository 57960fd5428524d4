package inventory

import (
	"time"

	"github.com/akri-go/akri/internal/agent/registry"
)

// Reported implements [registry.Observer].
func (v *Inventory) Reported(r registry.Report) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.configurations[r.Configuration]
	if c == nil || c.RequestID != r.RequestID {
		return nil // an answer to an earlier request
	}
	size := sizeOf(r.Devices)
	if err := v.makeRoom(c, r.Endpoint, size); err != nil {
		return err
	}
	for name, s := range c.lists {
		outdated := s.RequestID != r.RequestID && s.Handler != c.Handler
		if outdated || s.adopted() {
			delete(c.lists, name)
		}
	}
	c.lists[r.Endpoint] = List{
		Endpoint:  r.Endpoint,
		Handler:   c.Handler,
		RequestID: r.RequestID,
		Shared:    r.Shared,
		Devices:   r.Devices,
		bytes:     size,

		Registration: r.Registration,
		Alone:        r.Alone,
	}
	delete(c.failures, r.Endpoint)
	delete(c.failures, "")
	delete(c.refused, r.Endpoint)
	delete(c.refused, adoptedLocal)
	delete(c.refused, adoptedShared)
	if r.Refused != nil {
		c.refused[r.Endpoint] = r.Refused
	}
	c.depart(r)
	c.heard = r.Received
	v.plan(c)
	c.heard = time.Time{}
	v.changed()
	return nil
}

// depart notes which devices have departed. Only a device's holder can say so.
func (c *configuration) depart(r registry.Report) {
	if len(r.Departed) == 0 {
		return
	}
	departed := make(map[string]bool, len(r.Departed))
	for _, id := range r.Departed {
		departed[id] = true
	}
	for name, k := range c.known {
		if k.Holder == r.Endpoint && k.Shared == r.Shared && departed[k.Reported.ID] {
			k.Departed = true
			c.known[name] = k
		}
	}
}

// Failed implements [registry.Observer].
func (v *Inventory) Failed(f registry.Failure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.configurations[f.Configuration]
	if c == nil || c.RequestID != f.RequestID {
		return
	}
	if f.Endpoint != "" {
		delete(c.failures, "")
	}
	c.failures[f.Endpoint] = f
	if f.Final {
		// The handler is there and refuses: what it reported for an earlier
		// request is no answer to this one.
		for name, s := range c.lists {
			if s.RequestID != f.RequestID {
				delete(c.lists, name)
			}
		}
	}
	v.plan(c)
}

// Lost implements [registry.Observer].
func (v *Inventory) Lost(l registry.Loss) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.configurations[l.Configuration]
	if c == nil || c.RequestID != l.RequestID {
		return
	}
	if s, ok := c.lists[l.Endpoint]; ok && !s.Lost {
		up, _ := v.opts.UpTime.Elapsed()
		s.Lost, s.LostAt, s.Alone, s.Registration = true, up, l.Alone, l.Registration
		c.lists[l.Endpoint] = s
	} else { // it is no longer registered
		delete(c.failures, l.Endpoint)
		delete(c.refused, l.Endpoint)
	}
	v.plan(c)
}
