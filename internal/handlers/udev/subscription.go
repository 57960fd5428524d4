package udev

import (
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

// subscription collects what a monitor has to tell one request.
type subscription struct {
	m       *monitor
	records bool          // tell when udevd has written a record too
	wake    chan struct{} // holds one value if there is something to take

	// Guarded by m.mu. At first everything is to be looked at.
	all   bool
	dirty map[string]bool // devpaths; true means also all below
	since time.Time       // of the first event that was not taken; zero if none was
}

// changes are devices to look at again.
type changes struct {
	all   bool // refs are all devices: forget others
	refs  []sysfs.Ref
	gone  []string
	since time.Time // when their first event came; zero if there was none
	node  *vital.Node
}

func (m *monitor) subscribe(records bool) *subscription {
	s := &subscription{m: m, records: records, wake: make(chan struct{}, 1), dirty: map[string]bool{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subs[s] = struct{}{}
	s.touchAll()
	s.since = time.Time{} // the first look is not an event's doing
	return s
}

// unsubscribe ends a subscription and tells whether it was the last.
func (m *monitor) unsubscribe(s *subscription) (last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subs, s)
	return len(m.subs) == 0
}

func (s *subscription) touch(devpath string, below bool) {
	s.note()
	if s.all {
		return
	}
	s.dirty[devpath] = s.dirty[devpath] || below
	if len(s.dirty) > maxDirty {
		s.touchAll()
		return
	}
	s.signal()
}

// note notes when an event came.
func (s *subscription) note() {
	if s.since.IsZero() {
		s.since = time.Now()
	}
}

func (s *subscription) touchAll() {
	s.note()
	s.all = true
	clear(s.dirty)
	s.signal()
}

func (s *subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns what has changed since the last call.
func (s *subscription) take() (changes, error) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return changes{}, m.err
	}
	c := changes{since: s.since, node: m.node}
	s.since = time.Time{}
	if s.all {
		s.all = false
		c.all, c.refs = true, slices.Clone(m.index)
		return c, nil
	}
	for devpath, below := range s.dirty {
		if ref, ok := m.index.get(devpath); ok {
			c.refs = append(c.refs, ref)
		} else {
			c.gone = append(c.gone, devpath)
		}
		if below {
			c.refs = append(c.refs, m.index.below(devpath)...)
		}
	}
	clear(s.dirty)
	return c, nil
}
