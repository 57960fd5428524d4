package udev

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/handlers/udev/uevent"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

// monitor knows which devices there are, and tells its subscriptions which may
// have changed. There is one while there are requests.
//
// It never waits for requests: a subscription collects up to maxDirty changes
// until its request takes them.
type monitor struct {
	tree    *sysfs.Tree
	events  Events
	records *recordWatch
	tables  *tableWatch
	uses    vital.Files
	log     *slog.Logger
	running sync.WaitGroup

	mu    sync.Mutex
	index index
	node  *vital.Node // what the node itself needs
	subs  map[*subscription]struct{}
	err   error // why it has ended by itself
}

// maxDirty is how many changed devices a subscription collects; if there are
// more, it looks at all devices.
const maxDirty = 4096

// startMonitor begins to receive events, then lists the devices. In this order it
// misses nothing.
func startMonitor(o Options) (*monitor, error) {
	events, err := o.Listen()
	if err != nil {
		return nil, err
	}
	m := &monitor{
		tree:   sysfs.New(o.Sys, o.records()),
		events: events,
		uses:   o.uses(),
		log:    o.Log,
		subs:   map[*subscription]struct{}{},
	}
	if m.index, err = newIndex(m.tree); err != nil {
		events.Close()
		return nil, err
	}
	// Watched first, then read, to miss nothing.
	m.tables, m.records = &tableWatch{end: -1}, &recordWatch{done: make(chan struct{})}
	if o.recorded == nil {
		m.watchFiles(o)
	} else {
		m.lookAtNode()
	}
	m.running.Go(m.run)
	return m, nil
}

// watchFiles watches udevd's records and the tables of mounts, and reads them.
func (m *monitor) watchFiles(o Options) {
	m.tables = watchTables([]string{filepath.Join(o.Proc, "self/mountinfo"), filepath.Join(o.Proc, "swaps"), o.NodeMounts},
		m.log, m.lookAtNode)
	m.lookAtNode()
	m.records = watchRecords(o.Udev, m.log, m.recordChanged)
}

// stop ends the monitor and waits until it has ended.
func (m *monitor) stop() {
	m.events.Close()
	m.records.stop()
	m.tables.stop()
	m.running.Wait()
}

func (m *monitor) run() {
	var said time.Time
	for {
		e, err := m.events.Next()
		if errors.Is(err, uevent.ErrOverflow) {
			if time.Since(said) > time.Minute { // in a flood of events it happens often
				m.log.Warn("uevents were lost; looking at all devices")
				said = time.Now()
			}
			err = m.rescan()
		} else if err == nil {
			err = m.apply(e)
		}
		if err != nil {
			m.fail(err)
			return
		}
	}
}

// rescan lists the devices again. It first discards the events that wait: they
// are older than what it sees now, and without the lost ones they could
// contradict it.
func (m *monitor) rescan() error {
	if err := m.events.Drain(); err != nil {
		return err
	}
	ix, err := newIndex(m.tree)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = ix
	for s := range m.subs {
		s.touchAll()
	}
	return nil
}

// apply handles an event.
//
// The kernel sends add after the device node is made, and remove after it is
// deleted (device_add and device_del in drivers/base/core.c; devtmpfs makes the
// node before the call returns), so what is reported can be used.
func (m *monitor) apply(e uevent.Event) error {
	if !strings.HasPrefix(e.Devpath, "/devices/") {
		return nil // a module, a driver, a slab
	}
	if e.Action == "move" {
		// The devices below it move too, without events. Moves are rare: udevd
		// renames network interfaces when the machine starts.
		return m.rescan()
	}
	gone := e.Action == "remove" && !e.Synthetic
	subsystem, ok := "", false
	if !gone {
		if subsystem, ok = m.tree.Subsystem(e.Devpath); !ok {
			return nil // not a device, or gone again: then remove follows
		}
	}
	var slaves []string
	if subsystem == "block" {
		slaves = vital.MadeOf(m.tree.View(), e.Devpath)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if gone {
		m.remove(e.Devpath)
		return nil
	}
	m.index.put(sysfs.Ref{Devpath: e.Devpath, Subsystem: subsystem})
	for s := range m.subs {
		// Rules look at ancestors, so devices below may have begun or ceased to
		// match. A new device has none yet: they come with their own events.
		s.touch(e.Devpath, e.Action != "add")
		// The disks that this one consists of are in use from now on.
		for _, disk := range slaves {
			s.touch(disk, true)
		}
	}
	return nil
}

// lookAtNode finds out what the node itself needs. If that has changed, all
// devices are looked at again.
func (m *monitor) lookAtNode() {
	node := vital.Look(m.tree.View(), m.uses)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node != nil && m.node.Same(node) {
		return
	}
	if node.Blind != nil {
		m.log.Warn("the node's table of mounts cannot be read: disks count as in use by what the kernel shows of its file systems", "error", node.Blind)
	}
	m.node = node
	for s := range m.subs {
		s.touchAll()
	}
}

// remove forgets a device and those below it, although the kernel should have
// removed these before.
func (m *monitor) remove(devpath string) {
	below := slices.Clone(m.index.below(devpath))
	for _, ref := range append(below, sysfs.Ref{Devpath: devpath}) {
		m.index.remove(ref.Devpath)
		for s := range m.subs {
			s.touch(ref.Devpath, false)
		}
	}
}

// recordChanged handles that udevd has written or deleted a record; "" is any.
func (m *monitor) recordChanged(name string) {
	if name == "" {
		m.recordsChanged()
		return
	}
	m.mu.Lock()
	wanted := false
	for s := range m.subs {
		wanted = wanted || s.records
	}
	m.mu.Unlock()
	if !wanted {
		return
	}
	devpath, ok := m.tree.DevpathOf(name)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.subs {
		if s.records {
			s.touch(devpath, true) // TAGS looks at ancestors
		}
	}
}

// recordsChanged handles that any record may have changed.
func (m *monitor) recordsChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.subs {
		if s.records {
			s.touchAll()
		}
	}
}

// fail ends all subscriptions.
func (m *monitor) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = fmt.Errorf("watch the devices of this node: %w", err)
	for s := range m.subs {
		s.signal()
	}
}

// failed returns why the monitor has ended, nil if it has not.
func (m *monitor) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}
