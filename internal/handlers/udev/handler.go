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
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/udev/details"
	"github.com/akri-go/akri/internal/handlers/udev/recording"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/handlers/udev/uevent"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

// Options say where a Handler finds what the node provides.
type Options struct {
	// Sys is the root of sysfs; os.DirFS("/sys") if nil.
	Sys fs.ReadLinkFS
	// Udev is udevd's folder; "/run/udev" if empty. If it does not exist, devices
	// have only the kernel's properties, and no tags.
	Udev string
	// Proc is a proc file system; "/proc" if empty.
	Proc string
	// NodeMounts is a file with the node's table of mounts: the node's
	// /proc/1/mountinfo. If it is "", the handler knows less about which disks
	// are in use (see package vital).
	NodeMounts string
	// Allow are the device nodes that are reported although the node itself needs
	// them.
	Allow []rule.Pattern
	// Listen begins to receive uevents; nil means the kernel's.
	Listen func() (Events, error)
	// Reported, if not nil, is called after each report that an event has caused,
	// with the time since the event arrived. It must return soon.
	Reported func(took time.Duration)
	// Log is for what does not belong to one request; slog.Default() if nil.
	Log *slog.Logger

	recorded *recording.Recording // instead of a machine
}

// Recorded returns the options for a recorded machine, on which nothing changes.
func Recorded(r *recording.Recording) Options {
	return Options{
		Sys:      r.Sys(),
		recorded: r,
		Listen:   func() (Events, error) { return stillness(make(chan struct{})), nil },
	}
}

// stillness has no events.
type stillness chan struct{}

func (s stillness) Next() (uevent.Event, error) { <-s; return uevent.Event{}, os.ErrClosed }
func (s stillness) Drain() error                { return nil }
func (s stillness) Close() error                { close(s); return nil }

// records returns the folder of udevd's records.
func (o *Options) records() fs.FS {
	if o.recorded != nil {
		return o.recorded.Records()
	}
	return os.DirFS(filepath.Join(o.Udev, "data"))
}

// uses returns the files that say which disks are in use.
func (o *Options) uses() vital.Files {
	if o.recorded != nil {
		return vital.Files{Proc: o.recorded.Proc()}
	}
	return vital.Files{Proc: os.DirFS(o.Proc), NodeMounts: o.NodeMounts}
}

// Tree returns the devices that the handler looks at.
func (o Options) Tree() *sysfs.Tree {
	o = New(o).options
	return sysfs.New(o.Sys, o.records())
}

// ParseAllow parses patterns for Options.Allow: device nodes, or shell patterns
// such as "/dev/sd*".
func ParseAllow(texts []string) ([]rule.Pattern, error) {
	var all []rule.Pattern
	for _, text := range texts {
		p, err := rule.ParsePattern(text)
		if err == nil && !strings.HasPrefix(text, "/dev/") {
			err = fmt.Errorf("%q is not the path of a device node below /dev", text)
		}
		if err != nil {
			return nil, fmt.Errorf("allow node devices: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// Handler is the handler "udev".
type Handler struct {
	options Options

	mu      sync.Mutex
	monitor *monitor // nil while there is no request
}

var _ discovery.Explainer = (*Handler)(nil)

// New returns a handler. It does nothing until there is a request.
func New(o Options) *Handler {
	if o.Sys == nil {
		o.Sys = os.DirFS("/sys").(fs.ReadLinkFS)
	}
	if o.Udev == "" {
		o.Udev = "/run/udev"
	}
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.Listen == nil {
		o.Listen = func() (Events, error) { return uevent.Listen(uevent.DefaultBufferBytes) }
	}
	if o.Reported == nil {
		o.Reported = func(time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
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
