package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
)

// devnode is the handler. Its methods need no locks: it has no state.
type devnode struct {
	dir string // where we see the node's /dev
}

func (devnode) Name() string { return "devnode" }

// Shared is false: no other node sees these devices.
func (devnode) Shared() bool { return false }

func (h devnode) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	names, err := parse(req.Details)
	if err != nil {
		return err
	}
	// Watch first, then look: what happens in between is not missed.
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", h.dir, err)
	}
	defer watcher.Close()
	if err := watcher.Add(h.dir); err != nil {
		return fmt.Errorf("watch %s: %w", h.dir, err)
	}
	for {
		devices, err := h.find(names)
		if err != nil {
			return err
		}
		if err := report(devices); err != nil {
			return err
		}
		if err := change(ctx, watcher, names); err != nil {
			return err
		}
	}
}

// parse reads discoveryDetails. What is wrong with them is told to their author
// by discovery.Invalid.
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

// change waits until something with one of the names came or went.
func change(ctx context.Context, watcher *fsnotify.Watcher, names []string) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-watcher.Events:
			if !event.Has(fsnotify.Write) && matches(names, filepath.Base(event.Name)) {
				return nil
			}
		case <-watcher.Errors:
			return nil // something was missed: look
		}
	}
}
