package store

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/selector"
)

// state is everything in memory. It has no lock, no clock and no file.
type state struct {
	seq       uint64 // the last RV that was given
	born      uint64 // RVs below are of another store
	gaps      [][2]uint64
	session   uint64
	maxBytes  int
	bytes     int
	objects   map[Key]*Object
	byRes     map[Resource]map[Key]*Object
	interests map[edgev1.Interest]*interest
	ids       map[int64]*interest
	lastID    int64
	log       eventLog
	buried    burials
	outbox    outbox
	dirty     dirty
	changed   map[Resource]chan struct{} // closed at the next event
}

type interest struct {
	id       int64
	what     edgev1.Interest
	selector selector.Selector
	version  string // the cluster's, of the list
	since    uint64 // RV when it was first synced; 0: not yet
	used     time.Time
	usedDay  int64 // of used, as it is in the file
	watches  int
}

// dirty is what the file does not have yet.
type dirty struct {
	urgent    bool // it is to be written now, and not with what changes next
	objects   map[Key]bool
	interests map[int64]bool
	trimmed   map[Resource]bool
	entries   map[uint64]bool
	event     uint64 // the last one that was written
	meta      bool   // the counter, at least
}

func newDirty() dirty {
	return dirty{objects: map[Key]bool{}, interests: map[int64]bool{}, trimmed: map[Resource]bool{}, entries: map[uint64]bool{}}
}

func newState(now uint64, maxBytes int) *state {
	return &state{
		seq: now, born: now, session: 1, maxBytes: maxBytes,
		objects: map[Key]*Object{}, byRes: map[Resource]map[Key]*Object{},
		interests: map[edgev1.Interest]*interest{}, ids: map[int64]*interest{},
		log: newEventLog(), buried: newBurials(), outbox: newOutbox(),
		dirty:   newDirty(),
		changed: map[Resource]chan struct{}{},
	}
}

// add makes an interest that is not synced yet, or returns the one there is.
func (s *state) add(what edgev1.Interest, now time.Time) (*interest, error) {
	what.ID = 0
	if i := s.interests[what]; i != nil {
		return i, nil
	}
	sel, err := selector.Parse(what.Group, what.Resource, what.LabelSelector, what.FieldSelector)
	if err != nil {
		return nil, err
	}
	s.lastID++
	i := &interest{id: s.lastID, what: what, selector: sel, used: now}
	s.interests[what], s.ids[i.id] = i, i
	return i, nil
}

// drop forgets an interest, and the objects that only it held.
func (s *state) drop(i *interest) {
	for key, o := range s.byRes[ResourceOf(i.what)] {
		if o.heldBy(i.id) {
			s.hold(key, o, without(o.holders, i.id))
		}
	}
	delete(s.interests, i.what)
	delete(s.ids, i.id)
	s.dirtyInterest(i)
	s.wake(ResourceOf(i.what)) // its watches end
}

// put takes an object as the cloud has it, for an interest.
func (s *state) put(i *interest, version string, json []byte, h Head) error {
	key := Key{ResourceOf(i.what), h.Metadata.Namespace, h.Metadata.Name}
	old := s.objects[key]
	uid := h.Metadata.UID
	switch {
	case s.isBuried(key, uid):
		return ErrBuried
	case old != nil && old.UID == uid && old.session == s.session && older(version, old.Version):
		s.hold(key, old, with(old.holders, i.id)) // something newer came by another way
		return nil
	case old != nil && old.UID == uid && old.Version == version && !old.Overlaid():
		old = s.hold(key, old, with(old.holders, i.id))
		old.session = s.session
		return nil
	}
	if most := s.maxBytesOf(i); s.bytes-old.bytes()+len(json) > most {
		return fmt.Errorf("%w: it has %d bytes, and may have %d", ErrFull, s.bytes, most)
	}
	holders := []int64{i.id}
	if old != nil && old.UID == uid {
		holders = with(old.holders, i.id)
	}
	s.set(&Object{Key: key, UID: uid, Version: version, JSON: json, holders: holders, session: s.session})
	return nil
}

// gone takes an object from an interest.
func (s *state) gone(i *interest, item edgev1.Item) {
	key := Key{ResourceOf(i.what), item.Namespace, item.Name}
	if o := s.objects[key]; o.heldBy(i.id) && (item.UID == "" || item.UID == o.UID) {
		s.hold(key, o, without(o.holders, i.id))
	}
}

// synced notes that an interest is complete: overlays of its objects end.
func (s *state) synced(i *interest, version string) {
	if i.since == 0 {
		s.seq++
		i.since = s.seq
		s.wake(ResourceOf(i.what))
	}
	if i.version != version {
		i.version = version
		s.dirtyInterest(i)
	}
	for _, o := range s.byRes[ResourceOf(i.what)] {
		if o.Overlaid() && o.heldBy(i.id) {
			next := *o
			next.JSON, next.cloud = o.cloud, nil
			next.holders = s.holdersOf(next.Key, next.JSON, o.holders)
			s.set(&next)
		}
	}
}

// written takes what a call has made of an object: the interests that select it
// hold it.
func (s *state) written(key Key, version string, json []byte, h Head) *Object {
	old := s.objects[key]
	if old != nil && old.UID == h.Metadata.UID && old.session == s.session && older(version, old.Version) {
		return old
	}
	if s.isBuried(key, h.Metadata.UID) {
		return nil
	}
	holders := s.holdersOf(key, json, nil)
	if len(holders) == 0 {
		if old != nil {
			s.remove(old)
		}
		return nil
	}
	if old != nil && old.UID == h.Metadata.UID && old.Version == version && !old.Overlaid() {
		return old
	}
	most := 0
	for _, id := range holders {
		most = max(most, s.maxBytesOf(s.ids[id]))
	}
	if s.bytes-old.bytes()+len(json) > most {
		return nil // what the cloud says of it is refused, too, and that is said
	}
	return s.set(&Object{Key: key, UID: h.Metadata.UID, Version: version, JSON: json, holders: holders,
		session: s.session})
}

// overlay shows json instead of what the cloud has said of an object.
func (s *state) overlay(o *Object, json []byte) *Object {
	next := *o
	next.JSON = json
	if !o.Overlaid() {
		next.cloud = o.JSON
	}
	next.holders = s.holdersOf(o.Key, json, o.holders)
	return s.set(&next)
}

// holdersOf returns which interests select the object. An interest that selects
// what it did before the content changed need not be asked: if is the list of
// those to ask besides the others that are synced.
func (s *state) holdersOf(key Key, json []byte, before []int64) []int64 {
	var holders []int64
	for _, i := range s.interests {
		if ResourceOf(i.what) != key.Resource || i.what.Namespace != "" && i.what.Namespace != key.Namespace {
			continue
		}
		if i.since == 0 && !slices.Contains(before, i.id) {
			continue // its own sync brings it
		}
		if i.selector.Matches(json) {
			holders = append(holders, i.id)
		}
	}
	slices.Sort(holders)
	return holders
}

// hold gives an object other holders. Without any it is removed.
func (s *state) hold(key Key, o *Object, holders []int64) *Object {
	if slices.Equal(holders, o.holders) {
		return o
	}
	if len(holders) == 0 {
		s.remove(o)
		return o
	}
	next := *o
	next.holders = holders
	s.seq++
	next.RV = s.seq
	next.JSON = WithRV(o.JSON, strconv.FormatUint(next.RV, 10))
	s.change(o, &next)
	return &next
}

// set makes a new state of an object's content the current one.
func (s *state) set(o *Object) *Object {
	old := s.objects[o.Key]
	if old != nil && old.UID != o.UID {
		s.remove(old)
		old = nil
	}
	s.seq++
	o.RV, o.Since = s.seq, s.seq
	o.JSON = WithRV(o.JSON, strconv.FormatUint(o.RV, 10))
	s.change(old, o)
	return o
}

func (s *state) remove(o *Object) {
	s.seq++
	s.change(o, nil)
}

// change replaces an object's state and notes the event.
func (s *state) change(old, next *Object) {
	o := next
	if o == nil {
		o = old
	}
	all := s.byRes[o.Resource]
	if next != nil {
		if all == nil {
			all = map[Key]*Object{}
			s.byRes[o.Resource] = all
		}
		s.objects[o.Key], all[o.Key] = next, next
	} else {
		delete(s.objects, o.Key)
		delete(all, o.Key)
	}
	s.bytes += next.bytes() - old.bytes()
	s.dirty.objects[o.Key] = true
	s.dirty.urgent = s.dirty.urgent || !sameButHeartbeat(old, next) || s.seq-s.dirty.event > maxUnwritten
	if !s.followed(old) && !s.followed(next) {
		return // nobody can have seen it
	}
	for _, res := range s.log.add(Event{RV: s.seq, Old: old, New: next}) {
		s.dirty.trimmed[res] = true
	}
	s.wake(o.Resource)
}

func (s *state) dirtyInterest(i *interest) {
	s.dirty.interests[i.id], s.dirty.urgent = true, true
}

// followed reports whether an interest that is synced holds the object.
func (s *state) followed(o *Object) bool {
	return o != nil && slices.ContainsFunc(o.holders, func(id int64) bool {
		i := s.ids[id]
		return i != nil && i.since > 0
	})
}

func (s *state) wake(res Resource) {
	if c := s.changed[res]; c != nil {
		close(c)
		delete(s.changed, res)
	}
}

// wakes is the channel that wake closes next.
func (s *state) wakes(res Resource) <-chan struct{} {
	c := s.changed[res]
	if c == nil {
		c = make(chan struct{})
		s.changed[res] = c
	}
	return c
}

// list returns what an interest holds, in the order of namespace and name.
func (s *state) list(i *interest) []*Object {
	var held []*Object
	for _, o := range s.byRes[ResourceOf(i.what)] {
		if o.heldBy(i.id) {
			held = append(held, o)
		}
	}
	slices.SortFunc(held, func(a, b *Object) int {
		switch {
		case a.Namespace < b.Namespace, a.Namespace == b.Namespace && a.Name < b.Name:
			return -1
		}
		return 1
	})
	return held
}
