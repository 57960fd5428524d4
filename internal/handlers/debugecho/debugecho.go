// Package debugecho is the handler "debugEcho". It finds no real devices: it
// reports those that a Configuration lists in its descriptions. It is for tests
// and for trying Akri out.
//
// All devices are offline while the availability file contains the word OFFLINE.
// With any other text, or without the file, they are online. The file is watched.
package debugecho

import (
	"context"
	"log/slog"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/debugecho/details"
)

// Property holds the description of a device, which is also its id.
const Property = "DEBUG_ECHO_DESCRIPTION"

// Options are the options of the handler.
type Options struct {
	// Shared tells that all nodes see the same devices.
	Shared bool
	// AvailabilityFile is [details.DefaultAvailabilityFile] if it is "". Its
	// folder must exist.
	AvailabilityFile string
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// New makes a handler.
func New(o Options) discovery.Handler {
	if o.AvailabilityFile == "" {
		o.AvailabilityFile = details.DefaultAvailabilityFile
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &handler{shared: o.Shared, availability: availability{path: o.AvailabilityFile, log: o.Log}}
}

type handler struct {
	shared       bool
	availability availability
}

func (h *handler) Name() string { return details.Name }

func (h *handler) Shared() bool { return h.shared }

func (h *handler) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	devices, err := parse(req.Details)
	if err != nil {
		return err
	}
	changed, stop, err := h.availability.watch()
	if err != nil {
		return err
	}
	defer stop()
	for first, was := true, false; ; {
		online, err := h.availability.online()
		if err != nil {
			return err
		}
		if first || online != was {
			list := devices
			if !online {
				list = nil
			}
			if err := report(list); err != nil {
				return err
			}
			first, was = false, online
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// parse returns the devices of a request.
func parse(text string) ([]discovery.Device, error) {
	descriptions, err := details.Parse(text)
	if err != nil {
		return nil, discovery.Invalid("discoveryDetails: %w", err)
	}
	devices := make([]discovery.Device, 0, len(descriptions))
	for _, d := range descriptions {
		devices = append(devices, discovery.Device{ID: d, Properties: map[string]string{Property: d}})
	}
	return devices, nil
}
