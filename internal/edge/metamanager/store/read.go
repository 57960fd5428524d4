package store

import (
	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Get returns an object; nil if there is none. Whether that means anything only
// the interests can tell: see [Store.Known].
func (s *Store) Get(key Key) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.objects[key]
}

// List returns what an interest holds, in the order of namespace and name, and
// the RV of the list.
func (s *Store) List(what edgev1.Interest) ([]*Object, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.syncedLocked(what)
	if err != nil {
		return nil, 0, err
	}
	return s.state.list(i), s.state.seq, nil
}

// Peek is [Store.List] without counting as a use.
func (s *Store) Peek(what edgev1.Interest) ([]*Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.state.interests[bare(what)]
	if i == nil || i.since == 0 {
		return nil, ErrNotSynced
	}
	return s.state.list(i), nil
}

// RV is the current RV.
func (s *Store) RV() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.seq
}

// Known answers a get as one user: the object, if an interest of that user holds
// it; or nil and whether it is known that there is none. live tells whether the
// answer is followed, so that asking the cloud would tell nothing new.
func (s *Store) Known(key Key, as edgev1.As) (o *Object, live, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = s.state.objects[key]
	mine := false
	for _, i := range s.state.interests {
		w := i.what
		if i.since == 0 || w.As != as || ResourceOf(w) != key.Resource || w.Namespace != "" && w.Namespace != key.Namespace {
			continue
		}
		name, _ := i.selector.Name()
		covers := i.selector.All() || i.selector.OnlyName() && name == key.Name
		if !covers && !o.heldBy(i.id) {
			continue
		}
		i.used = s.now()
		mine = mine || o.heldBy(i.id)
		known = true
		live = live || !w.Get
	}
	if !mine {
		o = nil
	}
	if o == nil && s.state.outbox.deletes[key] != "" && as == (edgev1.As{}) {
		known = true // it was deleted here
	}
	return o, live, known
}

// Stats are for a person at the node.
type Stats struct {
	Objects   int `json:"objects"`
	Bytes     int `json:"bytes"`
	Interests int `json:"interests"`
	Watches   int `json:"watches"`
	Overlaid  int `json:"overlaid"`
	Events    int `json:"events"` // in the log, for watches that go on
	// Writes to the file, and how many of them failed.
	Writes        uint64 `json:"writes"`
	WriteFailures uint64 `json:"writeFailures"`
	RV            uint64 `json:"resourceVersion"`
}

// Stats counts what there is.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Objects: len(s.state.objects), Bytes: s.state.bytes, Interests: len(s.state.interests), RV: s.state.seq,
		Events: len(s.state.log.events)}
	s.health.mu.Lock()
	st.Writes, st.WriteFailures = s.health.writes, s.health.failures
	s.health.mu.Unlock()
	for _, i := range s.state.interests {
		st.Watches += i.watches
	}
	for _, o := range s.state.objects {
		if o.Overlaid() {
			st.Overlaid++
		}
	}
	return st
}
