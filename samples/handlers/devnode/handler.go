package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
)

// devnode is the handler. Its methods need no locks: it has no state.
type devnode struct {
	dir string // where the node's /dev is mounted
	// inotify makes a watcher; [fsnotify.NewWatcher].
	inotify func() (*fsnotify.Watcher, error)
}

func (devnode) Name() string { return "devnode" }

// Shared is false: no other node sees these devices.
func (devnode) Shared() bool { return false }

func (h devnode) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	names, err := parse(req.Details)
	if err != nil {
		return err
	}
	// Watch first, then look, to miss nothing.
	w := h.watch()
	defer w.stop()
	for {
		devices, err := h.find(names)
		if err != nil {
			return err
		}
		if err := report(devices); err != nil {
			return err
		}
		if err := w.change(ctx, names); err != nil {
			return err
		}
	}
}

// parse parses discoveryDetails. The author of the Configuration sees the text of
// errors made by discovery.Invalid.
func parse(details string) ([]string, error) {
	var d struct {
		Names []string `json:"names"`
	}
	if err := yaml.UnmarshalStrict([]byte(details), &d); err != nil {
		return nil, discovery.Invalid("discoveryDetails: %w", err)
	}
	if len(d.Names) == 0 {
		return nil, discovery.Invalid("discoveryDetails: names is missing: list names of device nodes, such as ttyUSB*")
	}
	for _, name := range d.Names {
		if _, err := path.Match(name, ""); err != nil {
			return nil, discovery.Invalid("discoveryDetails: name %q: %w", name, err)
		}
	}
	return d.Names, nil
}

// find lists the devices that are there now.
func (h devnode) find(names []string) ([]discovery.Device, error) {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, fmt.Errorf("look for device nodes: %w", err)
	}
	var devices []discovery.Device
	for _, entry := range entries {
		if !matches(names, entry.Name()) {
			continue
		}
		info, err := os.Stat(filepath.Join(h.dir, entry.Name()))
		if err != nil || info.Mode()&fs.ModeDevice == 0 {
			continue // gone meanwhile, or not a device
		}
		node := path.Join("/dev", entry.Name())
		devices = append(devices, discovery.Device{
			ID:          node,
			Properties:  map[string]string{"DEVNODE": node},
			DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: node, HostPath: node, Permissions: "rw"}},
		})
	}
	return devices, nil
}

func matches(names []string, name string) bool {
	for _, pattern := range names {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// watch tells when something comes or goes in a folder.
type watch struct {
	events <-chan fsnotify.Event
	errors <-chan error
	tick   <-chan time.Time
	stop   func()
}

// watch watches the folder. All of root's processes share a few inotify instances
// (fs.inotify.max_user_instances): if none is left, it looks every second.
func (h devnode) watch() watch {
	watcher, err := h.inotify()
	if err == nil {
		if err = watcher.Add(h.dir); err == nil {
			return watch{events: watcher.Events, errors: watcher.Errors, stop: func() { watcher.Close() }}
		}
		watcher.Close()
	}
	slog.Warn("the folder cannot be watched; looking every second", "folder", h.dir, "error", err)
	ticker := time.NewTicker(time.Second)
	return watch{tick: ticker.C, stop: ticker.Stop}
}

// change waits until something with one of the names may have come or gone.
func (w watch) change(ctx context.Context, names []string) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-w.events:
			if !event.Has(fsnotify.Write) && matches(names, filepath.Base(event.Name)) {
				return nil
			}
		case <-w.errors:
			return nil // something was missed: look
		case <-w.tick:
			return nil
		}
	}
}
