package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

func (d *dirty) empty() bool {
	return !d.meta && len(d.objects) == 0 && len(d.interests) == 0 && len(d.trimmed) == 0 && len(d.entries) == 0
}

// batch is what is written at once.
type batch struct {
	seq, born uint64
	gaps      [][2]uint64
	objects   map[Key]*Object     // nil: gone
	interests map[int64]*interest // copies; nil: gone
	events    []Event
	first     uint64 // RV of the first event that is kept
	trimmed   map[Resource]uint64
	lastEvent uint64            // dirty.event before
	entries   map[uint64]*Entry // nil: settled
	durable   bool              // one of the entries is
}

// take takes what is due, false if that is nothing.
func (s *state) take() (batch, bool) {
	if s.dirty.empty() {
		return batch{}, false
	}
	b := batch{
		seq: s.seq, born: s.born, gaps: slices.Clone(s.gaps), first: s.log.first(), lastEvent: s.dirty.event,
		objects: map[Key]*Object{}, interests: map[int64]*interest{}, trimmed: map[Resource]uint64{},
		entries: map[uint64]*Entry{},
		events:  slices.Clone(s.log.after(s.dirty.event)),
	}
	for key := range s.dirty.objects {
		b.objects[key] = s.objects[key]
	}
	for id := range s.dirty.interests {
		b.interests[id] = nil
	}
	// When something is written anyway, so is when interests were used.
	for id, i := range s.ids {
		day := i.used.Unix() / int64(24*time.Hour/time.Second)
		if i.since > 0 && (s.dirty.interests[id] || i.usedDay != day) {
			i.usedDay = day
			c := *i
			b.interests[id] = &c
		}
	}
	for res := range s.dirty.trimmed {
		b.trimmed[res] = s.log.trimmed[res]
	}
	for seq := range s.dirty.entries {
		e := s.outbox.entries[seq]
		b.entries[seq] = e
		b.durable = b.durable || e != nil && e.Durable
	}
	s.dirty = newDirty()
	s.dirty.event = s.seq
	return b, true
}

// giveBack takes back what could not be written.
func (s *state) giveBack(b batch) {
	for key := range b.objects {
		s.dirty.objects[key] = true
	}
	for id := range b.interests {
		s.dirty.interests[id] = true
	}
	for res := range b.trimmed {
		s.dirty.trimmed[res] = true
	}
	for seq := range b.entries {
		s.dirty.entries[seq] = true
	}
	s.dirty.event, s.dirty.meta = b.lastEvent, true
}

// allDirty has everything written again, into a new file.
func (s *state) allDirty() {
	for key := range s.objects {
		s.dirty.objects[key] = true
	}
	for id := range s.ids {
		s.dirty.interests[id] = true
	}
	for res := range maps.Keys(s.log.trimmed) {
		s.dirty.trimmed[res] = true
	}
	for seq := range s.outbox.entries {
		s.dirty.entries[seq] = true
	}
	s.dirty.event = 0
}

// retry is how long the flusher waits after failures.
var retry = backoff.Backoff{First: time.Second, Max: time.Minute}

// health is whether the file takes what is written.
type health struct {
	mu               sync.Mutex
	err              error
	writes, failures uint64
}

// Healthy returns why the file does not take what is written; nil if it does.
func (s *Store) Healthy() error {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return s.health.err
}

// flushAll writes what is due until the store is closed.
func (s *Store) flushAll() {
	defer close(s.flushed)
	ctx := context.Background()
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	for {
		due := s.due
		if failures > 0 {
			due = nil // it waits for the timer
		}
		select {
		case <-s.closed:
			return
		case <-due:
		case <-timer.C:
		}
		if s.flush(ctx) == nil {
			failures = 0
			continue
		}
		failures++
		timer.Reset(retry.Delay(failures))
	}
}

// flush writes what is due.
func (s *Store) flush(ctx context.Context) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	b, ok := s.state.take()
	s.mu.Unlock()
	if !ok {
		return nil
	}
	err := s.file.write(ctx, s.id, b)
	if damaged(err) {
		s.file.moveAside(err)
		s.mu.Lock()
		s.state.allDirty()
		b, _ = s.state.take()
		s.mu.Unlock()
		err = s.file.write(ctx, s.id, b)
	}
	if err != nil {
		s.mu.Lock()
		s.state.giveBack(b)
		s.mu.Unlock()
	}
	s.health.mu.Lock()
	before := s.health.err
	s.health.err = err
	if s.health.writes++; err != nil {
		s.health.failures++
	}
	s.health.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.log.Error("the store's file cannot be written: what changes is in memory only, and a restart loses it; make room on its disk", "file", s.file.path, "error", err)
	case err == nil && before != nil:
		s.log.Info("the store's file is written again", "file", s.file.path)
	}
	return err
}

// Flush waits until all that has changed so far is in the file, or cannot be.
func (s *Store) Flush(ctx context.Context) error { return s.flush(ctx) }
