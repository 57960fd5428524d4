package store

import (
	"context"
	"errors"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Errors of reads.
var (
	// ErrNotSynced means that the cloud has not yet said all of the interest: it
	// is not known whether there is nothing.
	ErrNotSynced = errors.New("this was never synced with the cloud")
	// ErrExpired means that events since that RV are no longer known.
	ErrExpired = errors.New("too old resource version")
	// ErrTooLarge means that the RV is none of this store's yet.
	ErrTooLarge = errors.New("too large resource version")
	// ErrDropped means that the interest of a watch is no longer followed.
	ErrDropped = errors.New("this is no longer followed")
)

// ChangeType is as in watch events of the API.
type ChangeType string

// The types of changes.
const (
	Added    ChangeType = "ADDED"
	Modified ChangeType = "MODIFIED"
	Deleted  ChangeType = "DELETED"
)

// Change is an event as a client of an interest sees it. Object is the last
// state, also of what is gone; RV is that of the event.
type Change struct {
	Type   ChangeType
	Object *Object
	RV     uint64
}

// seenBy translates an event for those who watch an interest, or only a part of
// it; nil is all.
func (e Event) seenBy(id int64, only func(*Object) bool) (Change, bool) {
	was, is := e.Old.heldBy(id), e.New.heldBy(id)
	if only != nil {
		was, is = was && only(e.Old), is && only(e.New)
	}
	switch {
	case was && is && e.Old.Since == e.New.Since:
		return Change{}, false // others hold it, or no longer
	case was && is:
		return Change{Modified, e.New, e.RV}, true
	case is:
		return Change{Added, e.New, e.RV}, true
	case was:
		return Change{Deleted, e.Old, e.RV}, true
	}
	return Change{}, false
}

// check decides whether all events after rv are known for an interest.
func (s *state) check(i *interest, rv uint64) error {
	switch {
	case rv > s.seq:
		return ErrTooLarge
	case rv < s.born, rv < i.since, rv < s.log.trimmed[ResourceOf(i.what)]:
		return ErrExpired
	}
	for _, g := range s.gaps {
		if g[0] < rv && rv < g[1] {
			return ErrExpired
		}
	}
	return nil
}

// Watch follows an interest. It keeps nothing but a position in the store's log,
// so one that is not read costs nothing, and ends with [ErrExpired] when the log
// has gone on without it.
type Watch struct {
	store    *Store
	interest *interest
	only     func(*Object) bool // a part of the interest; nil: all of it
	at       uint64
}

// Watch begins after an RV that a list or a watch has given.
func (s *Store) Watch(what edgev1.Interest, rv uint64) (*Watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.syncedLocked(what)
	if err != nil {
		return nil, err
	}
	return s.watchLocked(i, rv, nil)
}

func (s *Store) watchLocked(i *interest, rv uint64, only func(*Object) bool) (*Watch, error) {
	if err := s.state.check(i, rv); err != nil {
		return nil, err
	}
	i.watches++
	return &Watch{store: s, interest: i, only: only, at: rv}, nil
}

// Close ends the watch.
func (w *Watch) Close() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.interest.watches--
	w.interest.used = w.store.now()
}

// Next waits for changes and returns some, in order, and the RV up to which
// there are no others. Without changes it returns when ctx is done, with no
// error: then the RV is for a bookmark.
func (w *Watch) Next(ctx context.Context) ([]Change, uint64, error) {
	for {
		changes, wait, err := w.now()
		if err != nil || len(changes) > 0 {
			return changes, w.at, err
		}
		select {
		case <-ctx.Done():
			return nil, w.at, nil
		case <-w.store.closed:
			return nil, w.at, ErrDropped
		case <-wait:
		}
	}
}

// maxChanges bounds what one call of Next returns.
const maxChanges = 64

func (w *Watch) now() (changes []Change, wait <-chan struct{}, err error) {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.ids[w.interest.id] == nil {
		return nil, nil, ErrDropped
	}
	if err := s.state.check(w.interest, w.at); err != nil {
		return nil, nil, err
	}
	res := ResourceOf(w.interest.what)
	for _, e := range s.state.log.after(w.at) {
		if len(changes) == maxChanges {
			return changes, nil, nil
		}
		w.at = e.RV
		if e.resource() != res {
			continue
		}
		if c, ok := e.seenBy(w.interest.id, w.only); ok {
			changes = append(changes, c)
		}
	}
	if len(changes) > 0 {
		return changes, nil, nil
	}
	w.at = s.state.seq
	return nil, s.state.wakes(res), nil
}
