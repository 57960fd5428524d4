// Package modbus is the discovery handler for Modbus TCP devices, and for those
// behind gateways. Modbus has no discovery: a Configuration names servers and
// unit ids, and each unit of each server is asked again and again whether it is
// there and what it says of itself, by Read Device Identification (function 43,
// MEI type 14) or else by reading a register.
//
// A server is what listens at a host and port; a unit is a device that is reached
// through it, by a number. Each server is looked at in a rhythm of its own
// (package schedule): one connection, one request at a time, a pause between
// them, and the connection is closed at the end. What is known of servers and
// units is plain values, changed by what a look has found ([server.take],
// [unit.take]).
//
// The wire is package adu's. No library is used for it: those that there are do
// not have Read Device Identification.
package modbus

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

// Options are what one may choose.
type Options struct {
	// Patience is for how long the first report waits for servers that have not
	// answered; a second if it is 0.
	Patience time.Duration
	// Looked, if not nil, is told after each look at a server how long it took,
	// whatever it found. It must return soon.
	Looked func(took time.Duration)
	// Log is slog.Default() if nil.
	Log *slog.Logger

	network *address.Network                    // for tests
	rhythm  func(time.Duration) schedule.Rhythm // for tests
}

// Handler is the handler "modbus".
type Handler struct {
	options  Options
	asker    *asker
	requests atomic.Int64
}

var _ discovery.Explainer = (*Handler)(nil)

// New makes a handler. It does nothing until there is a request.
func New(o Options) *Handler {
	if o.Patience == 0 {
		o.Patience = time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Looked == nil {
		o.Looked = func(time.Duration) {}
	}
	if o.rhythm == nil {
		o.rhythm = schedule.Every
	}
	n := address.System()
	if o.network != nil {
		n = *o.network
	}
	return &Handler{options: o, asker: newAsker(n)}
}

// Name returns "modbus".
func (h *Handler) Name() string { return details.Name }

// Shared returns true: all nodes see the same devices.
func (h *Handler) Shared() bool { return true }

// Discover answers a request as [discovery.Handler] says.
func (h *Handler) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	return h.Explain(ctx, req, func(r discovery.Report) error { return report(r.Devices) })
}

// Explain answers a request, and notes what does not work and what it leaves out.
func (h *Handler) Explain(ctx context.Context, req discovery.Request, report func(discovery.Report) error) error {
	d, err := details.Parse(req.Details)
	if err != nil {
		return discovery.Invalid("discoveryDetails: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := newSurvey(d, h.options, time.Now())
	ends := make(chan ended)
	looking := 0
	defer func() {
		cancel()
		for range looking {
			<-ends
		}
	}()
	name := strconv.FormatInt(h.requests.Add(1), 10)
	patience := time.Now().Add(h.options.Patience)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for looking < maxOfRequest {
			i, ok := s.plan.Take(time.Now())
			if !ok {
				break
			}
			looking++
			v := s.servers[i].copy()
			go func() {
				began := time.Now()
				l := h.asker.look(ctx, name, v, d)
				h.options.Looked(time.Since(began))
				ends <- ended{i, l}
			}()
		}
		wait := time.Hour
		if at, ok := s.plan.Next(); ok && looking < maxOfRequest {
			wait = time.Until(at)
		}
		r, due, in := s.report(time.Now(), patience)
		if due {
			if err := report(r); err != nil {
				return err
			}
		}
		if in > 0 {
			wait = min(wait, in)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case e := <-ends:
			looking--
			if ctx.Err() == nil {
				s.take(e, time.Now())
			}
		}
	}
}
