// Package debugecho is the handler "debugEcho", which finds no real devices: it
// reports those that a Configuration lists in its descriptions. It is for tests
// and for trying Akri out.
//
// All devices are there or none. They are away while the availability file
// contains the word OFFLINE; any other text, or no file, means that they are
// there. The file is watched.
package debugecho

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
)

const (
	// Name is what Configurations ask for.
	Name = "debugEcho"
	// DefaultAvailabilityFile is where upstream's handler looks, too.
	DefaultAvailabilityFile = "/tmp/debug-echo-availability.txt"
	// Property holds the description of a device, which is also its id.
	Property = "DEBUG_ECHO_DESCRIPTION"

	maxDetails      = 1 << 20 // bytes
	maxDescriptions = 10_000
	maxDescription  = 1024 // bytes
)

// Options are what one may choose.
type Options struct {
	// Shared says that all nodes see the same devices.
	Shared bool
	// AvailabilityFile is [DefaultAvailabilityFile] if it is "". Its folder
	// must exist.
	AvailabilityFile string
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// SharedVariable says, in a handler's or an agent's environment, what
// [Options].Shared is to be.
const SharedVariable = "DEBUG_ECHO_INSTANCES_SHARED"

// SharedFromEnv reads [SharedVariable]: 1, t, true, 0, f or false, in capitals
// or not. It is false if there is none.
func SharedFromEnv(getenv func(string) string) (bool, error) {
	text := getenv(SharedVariable)
	if text == "" {
		return false, nil
	}
	shared, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %q is neither true nor false", SharedVariable, text)
	}
	return shared, nil
}

// New makes a handler.
func New(o Options) discovery.Handler {
	if o.AvailabilityFile == "" {
		o.AvailabilityFile = DefaultAvailabilityFile
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

func (h *handler) Name() string { return Name }

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

// CheckDetails tells whether discoveryDetails can be used: a YAML mapping with
// the key descriptions, a list of texts. Errors name what is wrong.
func CheckDetails(details string) error {
	_, err := parse(details)
	return err
}

// parse reads discoveryDetails. A description that is listed twice is one
// device.
func parse(details string) ([]discovery.Device, error) {
	if len(details) > maxDetails {
		return nil, discovery.Invalid("discoveryDetails: %d bytes, at most %d are allowed", len(details), maxDetails)
	}
	var d struct {
		Descriptions *[]string `json:"descriptions"`
	}
	if err := yaml.UnmarshalStrict([]byte(details), &d); err != nil {
		return nil, discovery.Invalid("discoveryDetails: %w", err)
	}
	if d.Descriptions == nil {
		return nil, discovery.Invalid("discoveryDetails: descriptions is missing: list one text per device")
	}
	if n := len(*d.Descriptions); n > maxDescriptions {
		return nil, discovery.Invalid("discoveryDetails: %d descriptions, at most %d are allowed", n, maxDescriptions)
	}
	devices := make([]discovery.Device, 0, len(*d.Descriptions))
	seen := make(map[string]bool, len(*d.Descriptions))
	for i, text := range *d.Descriptions {
		if err := check(text); err != nil {
			return nil, discovery.Invalid("discoveryDetails: descriptions[%d]: %w", i, err)
		}
		if seen[text] {
			continue
		}
		seen[text] = true
		devices = append(devices, discovery.Device{ID: text, Properties: map[string]string{Property: text}})
	}
	return devices, nil
}

func check(text string) error {
	switch {
	case text == "":
		return fmt.Errorf("is empty")
	case len(text) > maxDescription:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxDescription)
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return fmt.Errorf("the control character %q is not allowed", r)
		}
	}
	return nil
}
