// Package udev is the discovery handler "udev", for devices of the node. A
// Configuration selects them with udev rules, and they are reported as the kernel
// adds and removes them.
//
// A rule ([rule.Rule]) selects devices of the tree ([sysfs.Tree]). A monitor
// receives the kernel's events ([uevent.Event]), keeps an index of the tree, and
// tells each request which devices may have changed. The request looks only at
// these, and reports if its list has changed. Nothing is polled.
//
// The handler needs neither root nor capabilities: anybody can read sysfs,
// except a few attributes, and the kernel's events. It never opens device
// nodes.
package udev

import (
	"context"
	"sync"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/udev/details"
)

// Handler is the handler "udev".
type Handler struct {
	options Options

	mu      sync.Mutex
	monitor *monitor // nil while there is no request
}

var _ discovery.Explainer = (*Handler)(nil)

// New returns a handler. It does nothing until there is a request.
func New(o Options) *Handler {
	o.setDefaults()
	return &Handler{options: o}
}

// Name returns "udev".
func (h *Handler) Name() string { return details.Name }

// Shared returns false: other nodes do not see a node's devices.
func (h *Handler) Shared() bool { return false }

// Discover answers a request as [discovery.Handler] says.
func (h *Handler) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	return h.Explain(ctx, req, func(r discovery.Report) error { return report(r.Devices) })
}

// Explain answers a request, with a note about what it leaves out.
func (h *Handler) Explain(ctx context.Context, req discovery.Request, report func(discovery.Report) error) error {
	d, properties, err := parseRequest(req)
	if err != nil {
		return err
	}
	sub, err := h.subscribe(d.UsesRecords())
	if err != nil {
		return err
	}
	defer h.unsubscribe(sub)
	s := newSearch(d, properties, h.options)
	return s.run(ctx, sub, report)
}

// subscribe starts the monitor for the first request.
func (h *Handler) subscribe(records bool) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.monitor
	if m == nil || m.failed() != nil {
		// A monitor that has failed is stopped by its last request.
		var err error
		if m, err = startMonitor(h.options); err != nil {
			return nil, err
		}
		h.monitor = m
	}
	return m.subscribe(records), nil
}

// unsubscribe stops the monitor after the last request.
func (h *Handler) unsubscribe(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.m.unsubscribe(s) {
		return
	}
	s.m.stop()
	if h.monitor == s.m {
		h.monitor = nil
	}
}
