// Package opcua is the discovery handler for OPC UA servers. A Configuration
// names discovery URLs: of servers, which know themselves, and of discovery
// servers, which know those that have registered with them. Each is asked again
// and again, in a rhythm of its own (package schedule), and so is each server
// that it tells of, for what it offers.
//
// A source is what is known by one discovery URL. It tells of candidates, servers
// that are wanted and where they are (see [place]); one that was asked for its
// endpoints once is reported. Sources know nothing of each other: one that is
// slow, dead or hostile holds up none.
//
// The wire is package ua's. No library is used for it: those that there are let
// the server decide how much memory an answer takes.
package opcua

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

// Options are what one may choose.
type Options struct {
	// Patience is for how long the first report waits for discovery URLs that have
	// not answered; a second if it is 0.
	Patience time.Duration
	// Looked, if not nil, is told after each look at a discovery URL how long it
	// took, whatever it found. It must return soon.
	Looked func(took time.Duration)
	// Log is slog.Default() if nil.
	Log *slog.Logger

	network *address.Network                    // for tests
	rhythm  func(time.Duration) schedule.Rhythm // for tests
}

// Handler is the handler "opcua".
type Handler struct {
	options Options
	asker   asker
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

// Name returns "opcua".
func (h *Handler) Name() string { return details.Name }

// Shared returns true: all nodes see the same servers.
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
	var sources sync.WaitGroup
	defer sources.Wait()
	defer cancel()
	type news struct {
		source int
		state
	}
	told := make(chan news)
	for i, u := range d.URLs {
		s := &source{url: u, details: d, asker: &h.asker, rhythm: h.options.rhythm, timed: h.options.Looked}
		sources.Go(func() {
			s.run(ctx, func(st state) {
				select {
				case told <- news{i, st}:
				case <-ctx.Done():
				}
			})
		})
	}
	c := collection{details: d, states: make([]state, len(d.URLs)), log: h.options.Log, patient: true}
	patience := time.NewTimer(h.options.Patience)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			c.patient = false
		case n := <-told:
			c.note(n.source, n.state)
		}
		if r, due := c.report(); due {
			if err := report(r); err != nil {
				return err
			}
		}
	}
}

// collection is what all sources of a request have said.
type collection struct {
	details  details.Details
	states   []state
	log      *slog.Logger
	patient  bool
	reported bool
	last     discovery.Report
}

// note takes what a source says.
func (c *collection) note(i int, st state) {
	switch was := c.states[i].problem; {
	case st.problem != "" && st.problem != was:
		c.log.Warn("a discovery URL does not answer as it should", "problem", st.problem)
	case st.problem == "" && was != "":
		c.log.Info("a discovery URL answers again", "url", c.details.URLs[i].Text())
	}
	c.states[i] = st
}

// report returns what there is to report, if it is something new.
func (c *collection) report() (discovery.Report, bool) {
	if !c.reported && c.patient {
		for _, st := range c.states {
			if !st.settled {
				return discovery.Report{}, false
			}
		}
	}
	r := Plan(c.details, c.states, c.last.Devices)
	if c.reported && r.Note == c.last.Note && discovery.Same(r.Devices, c.last.Devices) {
		return r, false
	}
	c.reported, c.last = true, r
	return r, true
}
