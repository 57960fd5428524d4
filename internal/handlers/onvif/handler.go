// Package onvif is the discovery handler for network cameras that speak ONVIF.
//
// It probes for cameras and hears what they announce (package wsdiscovery), asks
// each that it has not asked who it is (packages camera and soap), and reports
// those that the Configuration's filters take. Data runs one way:
//
//	air (what is heard, for all requests) → population (which cameras there are,
//	as one request knows; pure) → report (pure)
//
// A search moves it, for one request: it has the schedule of probes and
// questions. A camera is known by its endpoint reference alone, whatever its
// addresses.
//
// Everything from the network is a stranger's. It can be flooded with cameras
// that do not exist, and with false good-byes of those that do: the first is
// bounded for each sender and in all, and each is told in the log; the second
// lasts until the next probe.
package onvif

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
	"github.com/akri-go/akri/internal/onvif/users"
)

// Air is where cameras are probed. [*wsdiscovery.Air] is one.
type Air interface {
	Probe(ctx context.Context, w wsdiscovery.Where) error
	Close()
}

// Options say where a Handler finds cameras.
type Options struct {
	// NewAir opens the networks; those of this node if nil.
	NewAir func(wsdiscovery.Options) Air
	// Ask asks a camera; [camera.Ask] if nil.
	Ask func(context.Context, camera.Question) (camera.Facts, error)
	// Names looks up host names; the system does if nil.
	Names camera.Resolver
	// Reported, if not nil, is told after each report that a message has caused
	// how long after the message's arrival that was. It must return soon.
	Reported func(took time.Duration)
	// Dropped, if not nil, is told why a message or a camera in it was dropped. It
	// must return soon.
	Dropped func(why string)
	// Log is where the handler says what is not a request's business;
	// slog.Default() if nil.
	Log *slog.Logger
}

// Why something is dropped, besides what [wsdiscovery.Drop] says.
const (
	dropFull = "full" // there are too many cameras
	dropSlow = "slow" // a request does not keep up
)

// drops are all reasons.
func drops() []string {
	return []string{
		string(wsdiscovery.Flood), string(wsdiscovery.Malformed), string(wsdiscovery.Unasked), dropFull, dropSlow,
	}
}

const (
	// atOnce is how many cameras are asked at a time, for all requests, and perHost
	// how many that were heard from one address: a slow one holds up no other.
	atOnce, perHost = 32, 2
	// perCamera is how long asking one may take in all.
	perCamera = 10 * time.Second
)

// Handler is the handler "onvif".
type Handler struct {
	options Options
	gate    *bounded.Gate

	mu     sync.Mutex
	air    Air // nil while there is no request
	boxes  map[*box]struct{}
	lines  *rate.Limiter // of what was dropped
	untold int
}

var _ discovery.Explainer = (*Handler)(nil)

// New makes a handler. It does nothing until there is a request.
func New(o Options) *Handler {
	if o.NewAir == nil {
		o.NewAir = func(o wsdiscovery.Options) Air { return wsdiscovery.NewAir(o) }
	}
	if o.Ask == nil {
		o.Ask = camera.Ask
	}
	if o.Names == nil {
		o.Names = net.DefaultResolver
	}
	if o.Reported == nil {
		o.Reported = func(time.Duration) {}
	}
	if o.Dropped == nil {
		o.Dropped = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Handler{
		options: o, gate: bounded.NewGate(atOnce, perHost), boxes: make(map[*box]struct{}),
		lines: rate.NewLimiter(rate.Every(10*time.Second), 3),
	}
}

// Name returns "onvif".
func (h *Handler) Name() string { return details.Name }

// Shared returns true: all nodes of a network see its cameras.
func (h *Handler) Shared() bool { return true }

// Discover answers a request as [discovery.Handler] says.
func (h *Handler) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	return h.Explain(ctx, req, func(r discovery.Report) error { return report(r.Devices) })
}

// Explain answers a request, and notes what is wrong with cameras.
func (h *Handler) Explain(ctx context.Context, req discovery.Request, report func(discovery.Report) error) error {
	d, err := details.Parse(req.Details)
	if err != nil {
		return discovery.Invalid("discoveryDetails: %w", err)
	}
	p, err := users.Parse(req.Properties)
	if err != nil {
		return discovery.Invalid("discoveryProperties: %w", err)
	}
	b := h.join()
	defer h.leave(b)
	return newSearch(d, p, h, report).run(ctx, b)
}

// join opens the air for the first request.
func (h *Handler) join() *box {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := &box{filled: make(chan struct{}, 1)}
	h.boxes[b] = struct{}{}
	if h.air == nil {
		h.air = h.options.NewAir(wsdiscovery.Options{Heard: h.heard, Dropped: h.dropped, Log: h.options.Log})
	}
	return b
}

// leave closes the air after the last request.
func (h *Handler) leave(b *box) {
	h.mu.Lock()
	delete(h.boxes, b)
	var air Air
	if len(h.boxes) == 0 {
		air, h.air = h.air, nil
	}
	h.mu.Unlock()
	if air != nil {
		air.Close() // waits for heard, which takes the lock
	}
}

func (h *Handler) probe(ctx context.Context, w wsdiscovery.Where) error {
	h.mu.Lock()
	air := h.air
	h.mu.Unlock()
	return air.Probe(ctx, w)
}

// ask asks a camera when it is its turn.
func (h *Handler) ask(ctx context.Context, q camera.Question) (camera.Facts, error) {
	who := ""
	if len(q.Sightings) > 0 {
		who = q.Sightings[0].From.WithZone("").String()
	}
	leave, err := h.gate.Enter(ctx, who)
	if err != nil {
		return camera.Facts{}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, perCamera)
	defer cancel()
	return h.options.Ask(ctx, q)
}

// heard gives a message to all requests.
func (h *Handler) heard(m wsdiscovery.Heard) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for b := range h.boxes {
		if !b.put(m) {
			h.options.Dropped(dropSlow)
		}
	}
}

// dropped says that a message was dropped: to the metrics each, to the log some.
func (h *Handler) dropped(from netip.Addr, why wsdiscovery.Drop, err error) {
	h.options.Dropped(string(why))
	h.mu.Lock()
	h.untold++
	n, tell := h.untold, h.lines.Allow()
	if tell {
		h.untold = 0
	}
	h.mu.Unlock()
	if !tell {
		return
	}
	attrs := []any{"from", from, "why", string(why), "sinceLastLine", n}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	h.options.Log.Warn("messages of WS-Discovery were dropped", attrs...)
}

func (h *Handler) count(why string) { h.options.Dropped(why) }

// maxBoxed is how many messages wait for a request, and maxBoxedBytes how much
// their texts take.
const maxBoxed, maxBoxedBytes = 4096, 4 << 20

// box has the messages that a request has not taken yet.
type box struct {
	filled chan struct{} // holds one value if there is something to take

	mu    sync.Mutex
	list  []wsdiscovery.Heard
	bytes int
}

func (b *box) put(m wsdiscovery.Heard) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := m.Bytes()
	if len(b.list) >= maxBoxed || b.bytes+n > maxBoxedBytes {
		return false
	}
	b.bytes += n
	b.list = append(b.list, m)
	select {
	case b.filled <- struct{}{}:
	default:
	}
	return true
}

func (b *box) take() []wsdiscovery.Heard {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list, b.bytes = nil, 0
	return list
}
