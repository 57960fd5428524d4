package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// ErrNotWritten means that what must be on the disk is not.
var ErrNotWritten = errors.New("the store's file cannot be written")

// Entry is a request of a program on this node that waits for the cloud; package
// outbox decides about them. Of entries with one key and one kind the last one of
// a user counts.
type Entry struct {
	Key
	Kind string
	// Seq is its place in the order; [Store.Post] gives it.
	Seq uint64
	// Durable entries are on the disk when Post returns.
	Durable bool
	// Deletes is the UID of the object that the request deletes, if it does.
	// That object is gone here, and whatever the cloud says does not bring it
	// back while the entry waits.
	Deletes string
	// At is when the program made the request.
	At   time.Time
	Call edgev1.Call
}

// Replaces reports whether an entry takes the place of another one: nobody can
// replace what somebody else wants.
func (e Entry) Replaces(old Entry) bool {
	return e.Key == old.Key && e.Kind == old.Kind && e.Call.As == old.Call.As
}

// outbox has the entries.
type outbox struct {
	last    uint64
	entries map[uint64]*Entry
	deletes map[Key]string // UIDs
}

func newOutbox() outbox {
	return outbox{entries: map[uint64]*Entry{}, deletes: map[Key]string{}}
}

// post adds an entry, and returns it and the one that it replaces.
func (s *state) post(e Entry) (added, replaced *Entry) {
	for _, old := range s.outbox.entries {
		if e.Replaces(*old) {
			replaced = old
			s.settle(old.Seq)
			break
		}
	}
	e.Seq = s.outbox.last + 1
	s.insert(&e)
	return &e, replaced
}

// insert adds an entry that has its place.
func (s *state) insert(e *Entry) {
	s.outbox.last = max(s.outbox.last, e.Seq)
	s.outbox.entries[e.Seq] = e
	if e.Deletes != "" {
		s.outbox.deletes[e.Key] = e.Deletes
	}
	s.dirty.entries[e.Seq], s.dirty.urgent = true, true
}

// settle takes an entry out; nil if it is no longer there.
func (s *state) settle(seq uint64) *Entry {
	e := s.outbox.entries[seq]
	if e == nil {
		return nil
	}
	delete(s.outbox.entries, seq)
	if e.Deletes != "" && s.outbox.deletes[e.Key] == e.Deletes {
		delete(s.outbox.deletes, e.Key)
	}
	s.dirty.entries[seq], s.dirty.urgent = true, true
	return e
}

// isBuried reports whether an object was deleted here, so that what the cloud
// says of it is old.
func (s *state) isBuried(key Key, uid string) bool {
	return s.buried.has(uid) || uid != "" && s.outbox.deletes[key] == uid
}

// bury removes the objects that entries delete.
func (s *state) bury() {
	for key, uid := range s.outbox.deletes {
		if o := s.objects[key]; o != nil && o.UID == uid {
			s.remove(o)
		}
	}
}

// Post has a request wait for the cloud. If it deletes an object, that object is
// gone when Post returns. A durable entry that cannot be written is not taken:
// then nothing has happened, and the error is [ErrNotWritten].
func (s *Store) Post(ctx context.Context, e Entry) error {
	var added, replaced *Entry
	s.change(func(st *state) { added, replaced = st.post(e) })
	if e.Durable {
		// The entry comes before its effect, so that a power cut never leaves the
		// effect alone.
		if err := s.flush(context.WithoutCancel(ctx)); err != nil {
			s.change(func(st *state) {
				st.settle(added.Seq)
				if replaced != nil {
					st.insert(replaced)
				}
			})
			return fmt.Errorf("%w: %w", ErrNotWritten, err)
		}
	}
	if e.Deletes != "" {
		s.change((*state).bury)
	}
	return nil
}

// Entries returns the requests that wait, in their order.
func (s *Store) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Entry, 0, len(s.state.outbox.entries))
	for _, e := range s.state.outbox.entries {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return all
}

// Settle takes an entry out. made tells whether the cloud has done what it asks
// for; if not, what it deleted here may come back.
func (s *Store) Settle(seq uint64, made bool) {
	s.change(func(st *state) {
		if e := st.settle(seq); e != nil && made {
			st.buried.add(e.Deletes, s.now())
		}
	})
}

func (b batch) writeEntries(ctx context.Context, tx *sql.Tx) error {
	for seq, e := range b.entries {
		if e == nil {
			if _, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE seq = ?", int64(seq)); err != nil {
				return err
			}
			continue
		}
		call, err := json.Marshal(e.Call) // without its body
		if err != nil {
			return err
		}
		r := e.Resource
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO outbox (seq, grp, version, resource, namespace, name, kind, durable, deletes, at, call, body)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, int64(seq), r.Group, r.Version, r.Name, e.Namespace, e.Name, e.Kind, e.Durable,
			e.Deletes, e.At.UnixMilli(), string(call), e.Call.Body); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) loadEntries(ctx context.Context, db *sql.DB) error {
	return each(ctx, db, `SELECT seq, grp, version, resource, namespace, name, kind, durable, deletes, at, call, body FROM outbox`, func(scan scanner) error {
		var e Entry
		var at int64
		var call string
		r := &e.Resource
		var body []byte
		if err := scan(&e.Seq, &r.Group, &r.Version, &r.Name, &e.Namespace, &e.Name, &e.Kind, &e.Durable, &e.Deletes, &at,
			&call, &body); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(call), &e.Call); err != nil {
			return fmt.Errorf("%w: entry %d of the outbox: %w", errDamaged, e.Seq, err)
		}
		e.At, e.Call.Body = time.UnixMilli(at), body
		s.insert(&e)
		delete(s.dirty.entries, e.Seq)
		return nil
	})
}
