// Package udev is the discovery handler for devices of the node: a
// Configuration says with udev rules which it means, and they are reported as
// the kernel makes and removes them.
//
// A rule ([rule.Rule]) selects devices of the tree ([sysfs.Tree]). A monitor
// keeps an index of the tree by the kernel's events ([uevent.Event]) and tells
// each request which devices may have changed; the request looks at these
// alone, and reports if its list has become another. Nothing is polled.
//
// It needs neither root nor capabilities: sysfs can be read by anybody (but
// for a few attributes), and so can the kernel's events. The device nodes
// themselves are never touched.
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
	// Udev is udevd's folder; "/run/udev" if empty. It need not exist: then
	// devices have the kernel's properties only, and no tags.
	Udev string
	// Proc is a proc file system; "/proc" if empty.
	Proc string
	// NodeMounts is a file with the node's table of mounts: /proc/1/mountinfo of
	// the node. "" if there is none; then the handler knows less of which disks
	// are in use (see package vital).
	NodeMounts string
	// Allow are the device nodes that are reported although the node lives on them.
	Allow []rule.Pattern
	// Listen opens the source of uevents; that of the kernel if nil.
	Listen func() (Events, error)
	// Reported, if not nil, is told after each report that an event has caused
	// how long after the event's arrival that was. It must return soon.
	Reported func(took time.Duration)
	// Log is where the handler says what is not a request's business;
	// slog.Default() if nil.
	Log *slog.Logger

	recorded *recording.Recording // instead of a machine
}

// Recorded returns the options for a machine that was recorded. Nothing
// happens to it any more.
func Recorded(r *recording.Recording) Options {
	return Options{
		Sys:      r.Sys(),
		recorded: r,
		Listen:   func() (Events, error) { return stillness(make(chan struct{})), nil },
	}
}

// stillness is a source of no events.
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

// uses returns what says which disks are in use.
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

// New makes a handler. It does nothing until there is a request.
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

// Shared returns false: a device of a node is no other node's.
func (h *Handler) Shared() bool { return false }

// Discover answers a request as [discovery.Handler] says.
func (h *Handler) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	return h.Explain(ctx, req, func(r discovery.Report) error { return report(r.Devices) })
}

// Explain answers a request, and notes what it leaves out.
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
		// One that has failed is stopped by the last request that leaves it.
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
