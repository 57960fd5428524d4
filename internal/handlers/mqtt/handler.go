// Package mqtt is the discovery handler for devices that announce themselves on an
// MQTT broker. A Configuration names the broker and the conventions. The handler
// subscribes to what tells of devices, not to what they measure, and publishes
// nothing.
//
// A request has a connection of its own ([link]), which a goroutine keeps and reads
// from. The request's own goroutine ([follower]) writes down what comes (package
// announced), decides what that means while the broker is away ([standing]), and
// reports.
//
// The wire is package wire's. No library is used for it: the one that there is for
// MQTT 5 lets the broker decide how much memory a packet takes, and does not speak
// 3.1.1.
package mqtt

import (
	"context"
	"log/slog"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/mqtt/announced"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// Options are what one may choose.
type Options struct {
	// Patience is for how long the first report waits for a broker that has not
	// told all that it retains; 3 seconds if it is 0.
	Patience time.Duration
	// Listen is for how long the first report waits for devices that patterns of
	// topics find: only what they say anew counts.
	Listen time.Duration
	// Reported, if not nil, is told after each report of other devices how long
	// that took, from the arrival of the first message that made them other. Dropped,
	// if not nil, is told why a message was not taken. Several goroutines call them,
	// and they must return soon.
	Reported func(took time.Duration)
	Dropped  func(why string)
	// Log is slog.Default() if nil.
	Log *slog.Logger

	network *address.Network // for tests
	retry   *backoff.Backoff // for tests
	certain time.Duration    // for tests: instead of certainAfter
}

// certainAfter is how long a device is gone after its good-bye until it is said that
// it has departed. One that restarts, or gets other firmware, has said so too, and
// is back within seconds; nor can be told who has said it.
const certainAfter = 10 * time.Second

// Handler is the handler "mqtt".
type Handler struct {
	options Options
	network address.Network
	retry   backoff.Backoff
	room    *announced.Room
	certain time.Duration // see certainAfter
}

var _ discovery.Explainer = (*Handler)(nil)

// New makes a handler. It does nothing until there is a request.
func New(o Options) *Handler {
	if o.Patience == 0 {
		o.Patience = 3 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Reported == nil {
		o.Reported = func(time.Duration) {}
	}
	if o.Dropped == nil {
		o.Dropped = func(string) {}
	}
	h := &Handler{options: o, network: address.System(), retry: reconnect, room: announced.NewRoom(announced.MaxBytes),
		certain: certainAfter}
	if o.network != nil {
		h.network = *o.network
	}
	if o.retry != nil {
		h.retry = *o.retry
	}
	if o.certain != 0 {
		h.certain = o.certain
	}
	return h
}

// Name returns "mqtt".
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
	c, err := parseProperties(req.Properties, d)
	if err != nil {
		return discovery.Invalid("discoveryProperties: %w", err)
	}
	if c.password != nil && !d.Broker.TLS && !d.Broker.Local() {
		h.options.Log.Warn("the broker's password goes over the network as it is: give a URL that begins with mqtts://",
			"broker", d.Broker.String())
	}
	return newFollower(h, d, c).run(ctx, report)
}
