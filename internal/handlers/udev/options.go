package udev

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

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

// Events receives uevents. [uevent.Conn] is one.
type Events interface {
	// Next waits for the next event; [uevent.ErrOverflow] says that some were
	// lost.
	Next() (uevent.Event, error)
	// Drain discards those that wait.
	Drain() error
	// Close ends the reception and makes Next return.
	Close() error
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
	o.setDefaults()
	return sysfs.New(o.Sys, o.records())
}

// setDefaults replaces what is not set.
func (o *Options) setDefaults() {
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
