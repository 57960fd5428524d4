// Package mdns is the discovery handler for services that devices announce by
// Multicast DNS (RFC 6762) in the way of DNS-based service discovery (RFC 6763):
// printers, players, sensors and others that Bonjour or Avahi show.
//
// Data runs one way:
//
//	air (what is heard on each interface, for all requests) → browse (what is known
//	of each interface; pure) → [Plan] (what a request gets; pure)
//
// A station moves it, for all requests: it has the sockets and the clock. While
// there is no request there is none, and nothing is sent. The handler connects to
// no device.
//
// Everything from the network is a stranger's. Whoever is on it can announce
// services that do not exist, which is bounded for each sender and in all, and can
// say good-bye for others, which is checked by asking.
package mdns

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/departures"
	"github.com/akri-go/akri/internal/handlers/mdns/air"
	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/details"
	"github.com/akri-go/akri/internal/handlers/multicast"
	"github.com/akri-go/akri/internal/pace"
)

// Air is where devices are heard. [*air.Air] is one.
type Air interface {
	Interfaces() ([]multicast.Interface, error)
	Listen([]multicast.Interface) error
	Speaks(index int, via browse.Family) bool
	Private(index int, via browse.Family) bool
	Send(index int, via browse.Family, message []byte) error
	Close()
}

// Options say where a Handler finds devices.
type Options struct {
	// NewAir opens the networks; those of this node if nil.
	NewAir func(air.Options) Air
	// Reported, if not nil, is told after each report that a message has caused
	// how long after the message's arrival that was. It must return soon.
	Reported func(took time.Duration)
	// Dropped, if not nil, is told why a message or a service in it was dropped. It
	// must return soon.
	Dropped func(why string)
	// Passed, if not nil, is told of each message that was sent or heard. It must
	// return soon.
	Passed func(direction string)
	// Log is slog.Default() if nil.
	Log *slog.Logger

	patience time.Duration // for tests: instead of the details' Timeout
}

// certainAfter is how long a device is gone after its good-bye until it is said
// that it has departed. One that is there has answered by then.
const certainAfter = 3 * time.Second

// What [Options].Passed is told.
const (
	sent  = "sent"
	heard = "heard"
)

// dropFull is why a service is dropped, besides what [air.Drop] says of messages:
// there are too many.
const dropFull = "full"

// drops are all reasons.
func drops() []string {
	return []string{string(air.Flood), string(air.Malformed), string(air.Foreign), dropFull}
}

// Handler is the handler "mdns".
type Handler struct {
	options Options

	mu      sync.Mutex
	station *station // nil while there is no request
	users   int      // of the station
}

var _ discovery.Explainer = (*Handler)(nil)

// New makes a handler. It does nothing until there is a request.
func New(o Options) *Handler {
	if o.NewAir == nil {
		o.NewAir = func(o air.Options) Air { return air.New(o) }
	}
	if o.Reported == nil {
		o.Reported = func(time.Duration) {}
	}
	if o.Dropped == nil {
		o.Dropped = func(string) {}
	}
	if o.Passed == nil {
		o.Passed = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Handler{options: o}
}

// Name returns "mdns".
func (h *Handler) Name() string { return details.Name }

// Shared returns true: all nodes of a network hear its devices.
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
	if err := ctx.Err(); err != nil {
		return err
	}
	if h.options.patience != 0 {
		d.Timeout = h.options.patience
	}
	s := h.join()
	defer h.leave(s)
	r := s.begin(d)
	defer s.end(r)
	return h.answer(ctx, s, r, d, report)
}

// answer reports what is known whenever it has changed, until ctx is done.
func (h *Handler) answer(ctx context.Context, s *station, r *request, d details.Details,
	report func(discovery.Report) error,
) error {
	var (
		reported bool
		last     discovery.Report
		pace     = pace.Pace{MinInterval: 2 * time.Millisecond, MaxInterval: 100 * time.Millisecond, Share: 10}
		first    = time.Now().Add(d.Timeout)
		timer    = time.NewTimer(d.Timeout)
		waiting  = false // for the timer, with something to report
		gone     = departures.New(certainAfter)
		later    = time.NewTimer(time.Hour) // for what time alone makes certain
	)
	defer timer.Stop()
	defer later.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			waiting = false
		case <-later.C:
		case <-r.news:
		}
		now := time.Now()
		switch wait := pace.Wait(now); {
		case waiting:
			continue
		case !reported && now.Before(first) && !s.knows(r):
			continue
		case reported && wait > 0:
			waiting = true
			timer.Reset(wait)
			continue
		}
		k, cause := s.known(r)
		plan := Plan(d, k, now)
		next := plan.Report
		var certain time.Duration
		next.Departed, certain = gone.Take(next.Devices, plan.leaving, now)
		if wait := sooner(k.again, sooner(plan.again, certain)); wait > 0 {
			later.Reset(wait)
		}
		if reported && next.Note == last.Note && slices.Equal(next.Departed, last.Departed) && discovery.Same(next.Devices, last.Devices) {
			pace.Done(now, time.Now())
			continue
		}
		if err := report(next); err != nil {
			return err
		}
		if reported && !cause.IsZero() {
			h.options.Reported(time.Since(cause))
		}
		reported, last = true, next
		pace.Done(now, time.Now())
	}
}

// sooner returns the shorter of two times, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// join begins to listen for the first request.
func (h *Handler) join() *station {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.station == nil {
		h.station = newStation(h.options)
	}
	h.users++
	return h.station
}

// leave ends it after the last request.
func (h *Handler) leave(s *station) {
	h.mu.Lock()
	h.users--
	last := h.users == 0
	if last {
		h.station = nil
	}
	h.mu.Unlock()
	if last {
		s.close()
	}
}
