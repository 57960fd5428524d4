package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// DefaultMaxBytes is how much the objects of a store may take by default.
const DefaultMaxBytes = 64 << 20

// Options are the settings of a store.
type Options struct {
	// Path is the SQLite file; its folder is made.
	Path string
	Log  *slog.Logger
	// MaxBytes bounds the objects; 0 is DefaultMaxBytes.
	MaxBytes int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Store is safe for use by several goroutines.
type Store struct {
	log  *slog.Logger
	now  func() time.Time
	file *file
	id   string

	mu    sync.Mutex
	state *state

	flushing sync.Mutex // held by whoever writes a batch, so that batches stay in order

	due     chan struct{} // something is to be written
	closing sync.Once
	closed  chan struct{}
	flushed chan struct{} // the flusher has ended
	health  health
}

// Open reads the store's file, or begins a new one. A damaged file is moved
// aside. If a new one cannot be made, for lack of room on the disk, the store
// works in memory and says so. It fails if there is a file that cannot be opened,
// which stays as it is.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		log: o.Log, now: o.Now, file: &file{path: o.Path, log: o.Log, used: map[blobKey]time.Time{}},
		due: make(chan struct{}, 1), closed: make(chan struct{}), flushed: make(chan struct{}),
	}
	s.state = newState(uint64(max(1, o.Now().UnixMilli())), o.MaxBytes)
	id, err := s.file.open(ctx, s.state)
	if err != nil {
		return nil, err
	}
	s.id = id
	go s.flushAll()
	return s, nil
}

// Close writes what is due and closes the file. Watches end.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		<-s.flushed
		err = errors.Join(s.flush(context.Background()), s.file.close())
	})
	return err
}

// ID names the store's file: another file has another one.
func (s *Store) ID() string { return s.id }

// change locks the store for f, then has what f changed written.
func (s *Store) change(f func(*state)) {
	s.mu.Lock()
	f(s.state)
	urgent := s.state.dirty.urgent
	s.mu.Unlock()
	if urgent {
		select {
		case s.due <- struct{}{}:
		default:
		}
	}
}

// Session begins a session with the cloud: versions may go back in it, as after
// a restore from a backup.
func (s *Store) Session() { s.change(func(st *state) { st.session++ }) }

// WentBack notes that the cloud is of some time ago from now on, within a session:
// older versions count, and whatever was deleted may be there again.
func (s *Store) WentBack() {
	s.change(func(st *state) {
		st.session++
		st.buried.forget(s.now())
	})
}

// Interest is what is known of an interest.
type Interest struct {
	edgev1.Interest
	Synced  bool
	Watches int
	Used    time.Time
	Objects int
}

// Add notes an interest, which is not synced at first. There can be so many, and
// then the error is ErrFull; other errors are about its selectors.
func (s *Store) Add(what edgev1.Interest) error {
	var err error
	s.change(func(st *state) {
		if st.interests[bare(what)] == nil && !st.makeRoom(what.As) {
			err = fmt.Errorf("%w: it follows %d interests, at most %d of one service account, and all are in use", ErrFull,
				maxInterests, maxAccountInterests)
			return
		}
		_, err = st.add(bare(what), s.now())
	})
	return err
}

func bare(what edgev1.Interest) edgev1.Interest {
	what.ID = 0
	return what
}

// Interests returns all interests.
func (s *Store) Interests() []Interest {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[int64]int{}
	for _, o := range s.state.objects {
		for _, id := range o.holders {
			count[id]++
		}
	}
	all := make([]Interest, 0, len(s.state.interests))
	for what, i := range s.state.interests {
		all = append(all, Interest{what, i.since > 0, i.watches, i.used, count[i.id]})
	}
	return all
}

// Synced reports whether the interest is known and synced. It counts as a use.
func (s *Store) Synced(what edgev1.Interest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.syncedLocked(what)
	return err == nil
}

// Follows reports whether the interest is known, synced or not.
func (s *Store) Follows(what edgev1.Interest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.interests[bare(what)] != nil
}

func (s *Store) syncedLocked(what edgev1.Interest) (*interest, error) {
	i := s.state.interests[bare(what)]
	if i == nil || i.since == 0 {
		return nil, ErrNotSynced
	}
	i.used = s.now()
	return i, nil
}

// Drop forgets an interest; its watches end with ErrDropped.
func (s *Store) Drop(what edgev1.Interest) {
	s.change(func(st *state) {
		if i := st.interests[bare(what)]; i != nil {
			st.drop(i)
		}
	})
}

// Put takes an object of an interest as the cloud has it. An interest that is
// not known is no error: it was dropped. [ErrBuried] says that the object is not
// taken, since it was deleted here within BurialTime.
func (s *Store) Put(what edgev1.Interest, version string, object []byte) error {
	h, err := ReadHead(object)
	if err != nil {
		return err
	}
	s.change(func(st *state) {
		st.buried.forget(s.now().Add(-BurialTime))
		if i := st.interests[bare(what)]; i != nil {
			err = st.put(i, version, object, h)
		}
	})
	return err
}

// Gone takes an object from an interest.
func (s *Store) Gone(what edgev1.Interest, item edgev1.Item) {
	s.change(func(st *state) {
		if i := st.interests[bare(what)]; i != nil {
			st.gone(i, item)
		}
	})
}

// Complete notes that the cloud has said all of an interest; version is that of
// its list. Overlays of its objects end.
func (s *Store) Complete(what edgev1.Interest, version string) {
	s.change(func(st *state) {
		if i := st.interests[bare(what)]; i != nil {
			st.synced(i, version)
		}
	})
}

// Items returns what there is of an interest, as the cloud has it.
func (s *Store) Items(what edgev1.Interest) []edgev1.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.state.interests[bare(what)]
	if i == nil {
		return nil
	}
	var items []edgev1.Item
	for _, o := range s.state.byRes[ResourceOf(i.what)] {
		if o.heldBy(i.id) {
			items = append(items, edgev1.Item{Namespace: o.Namespace, Name: o.Name, UID: o.UID, Version: o.Version})
		}
	}
	return items
}

// Written takes what a call has made of an object, and returns it as it is now
// here; nil if no interest selects it.
func (s *Store) Written(res Resource, object []byte) (*Object, error) {
	h, err := ReadHead(object)
	if err != nil {
		return nil, err
	}
	var o *Object
	s.change(func(st *state) {
		st.buried.forget(s.now().Add(-BurialTime))
		o = st.written(Key{res, h.Metadata.Namespace, h.Metadata.Name}, h.Metadata.ResourceVersion, object, h)
	})
	return o, nil
}

// Buried takes an object away that a call has deleted: what the cloud says of it
// within BurialTime is old.
func (s *Store) Buried(key Key, uid string) {
	s.change(func(st *state) {
		st.buried.add(uid, s.now())
		if o := st.objects[key]; o != nil && (uid == "" || o.UID == uid) {
			st.remove(o)
		}
	})
}

// Overlay shows what change makes of an object's JSON, until the cloud speaks
// again. It returns nil if there is no such object.
func (s *Store) Overlay(key Key, change func(*Object) ([]byte, error)) (*Object, error) {
	var o *Object
	var err error
	s.change(func(st *state) {
		old := st.objects[key]
		if old == nil {
			return
		}
		var next []byte
		if next, err = change(old); err != nil {
			return
		}
		if !json.Valid(next) {
			err = errMalformed
			return
		}
		if st.bytes+len(next) > st.maxBytes {
			err = ErrFull
			return
		}
		o = st.overlay(old, next)
	})
	return o, err
}

// Touch makes new states of the objects of a resource for which differs is true,
// with the content they have: clients see them in another way than before.
// differs is called with the store locked, and must not use it.
func (s *Store) Touch(res Resource, differs func(*Object) bool) {
	s.change(func(st *state) {
		for _, o := range st.byRes[res] {
			if differs(o) {
				next := *o
				st.set(&next)
			}
		}
	})
}

// Changed returns a channel that is closed when the next object of a resource
// changes, or an interest in it is synced or ends.
func (s *Store) Changed(res Resource) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.wakes(res)
}

// unusedAfter is how long an interest is followed that nobody asks for.
const unusedAfter = 7 * 24 * time.Hour

// DropUnused forgets interests that nobody has asked for in 7 days, but not keep,
// and returns them. It is for a node that is connected, and has been up for long
// enough that its clients have asked again.
func (s *Store) DropUnused(keep func(edgev1.Interest) bool) []edgev1.Interest {
	var dropped []edgev1.Interest
	s.change(func(st *state) {
		for what, i := range st.interests {
			if i.watches == 0 && s.now().Sub(i.used) > unusedAfter && !keep(what) {
				st.drop(i)
				dropped = append(dropped, what)
			}
		}
	})
	return dropped
}
