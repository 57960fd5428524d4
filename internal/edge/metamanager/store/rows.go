package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// meta keys.
const (
	metaSeq  = "seq"
	metaBorn = "born"
	metaGaps = "gaps"
	metaID   = "store"
)

// maxGaps is how many restarts are remembered one by one; RVs of before are
// expired.
const maxGaps = 32

// load reads the tables into st, which is empty and at the present time, and
// returns the store's id. Nothing of st is changed if it fails.
func load(ctx context.Context, db *sql.DB, st *state) (id string, err error) {
	meta := map[string]string{}
	err = each(ctx, db, "SELECT key, value FROM meta", func(scan scanner) error {
		var k, v string
		err := scan(&k, &v)
		meta[k] = v
		return err
	})
	if err != nil {
		return "", err
	}
	if meta[metaID] == "" {
		st.dirty.meta = true
		return rand.Text(), nil // nothing was ever written
	}
	next := newState(st.seq, st.maxBytes)
	var stored uint64
	if stored, err = strconv.ParseUint(meta[metaSeq], 10, 63); err == nil {
		if next.born, err = strconv.ParseUint(meta[metaBorn], 10, 63); err == nil {
			err = json.Unmarshal([]byte(meta[metaGaps]), &next.gaps)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errDamaged, err)
	}
	next.resume(stored, st.seq)
	for _, read := range []func(context.Context, *sql.DB) error{next.loadInterests, next.loadObjects, next.loadLast,
		next.loadEvents, next.loadEntries} {
		if err := read(ctx, db); err != nil {
			return "", err
		}
	}
	next.dirty.event, next.dirty.meta = next.seq, next.seq != stored
	next.bury() // a power cut may have come between an entry and its effect
	*st = *next
	return meta[metaID], nil
}

// resume goes on after a restart. What was between the RV that was stored and
// that of now may have been given to clients and then lost; now may be wrong.
func (s *state) resume(stored, now uint64) {
	s.seq = max(stored+maxUnwritten, now)
	if s.seq > stored+1 {
		s.gaps = append(s.gaps, [2]uint64{stored, s.seq})
	}
	if n := len(s.gaps) - maxGaps; n > 0 {
		s.born = max(s.born, s.gaps[n-1][1])
		s.gaps = slices.Clone(s.gaps[n:])
	}
}

type scanner func(dest ...any) error

// each calls f for each row.
func each(ctx context.Context, db *sql.DB, query string, f func(scanner) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *state) loadInterests(ctx context.Context, db *sql.DB) error {
	return each(ctx, db, "SELECT id, what, version, since, used_day FROM interests", func(scan scanner) error {
		var id, day int64
		var what, version string
		var since uint64
		if err := scan(&id, &what, &version, &since, &day); err != nil {
			return err
		}
		var e edgev1.Interest
		if err := json.Unmarshal([]byte(what), &e); err != nil {
			return fmt.Errorf("%w: interest %d: %w", errDamaged, id, err)
		}
		if id < 1 || day < 0 || day > 1<<30 {
			return fmt.Errorf("%w: interest %d", errDamaged, id)
		}
		i, err := s.add(e, time.Unix(day*24*3600, 0))
		if err != nil {
			return fmt.Errorf("%w: interest %d: %w", errDamaged, id, err)
		}
		delete(s.ids, i.id)
		i.id, i.version, i.since, i.usedDay = id, version, since, day
		s.ids[id] = i
		s.lastID = max(s.lastID, id)
		return nil
	})
}

// holdersIn reads holders; of interests that are gone there are none.
func (s *state) holdersIn(text string) []int64 {
	var all []int64
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(id int64) bool { return s.ids[id] == nil })
}

func (s *state) loadObjects(ctx context.Context, db *sql.DB) error {
	return each(ctx, db, `SELECT grp, version, resource, namespace, name, uid, cloud_version, rv, since, holders, json, cloud FROM objects`, func(scan scanner) error {
		var o Object
		var holders string
		if err := scan(&o.Resource.Group, &o.Resource.Version, &o.Resource.Name, &o.Namespace, &o.Name, &o.UID,
			&o.Version, &o.RV, &o.Since, &holders, &o.JSON, &o.cloud); err != nil {
			return err
		}
		if h, err := ReadHead(o.JSON); err != nil || h.Metadata.Name != o.Name || len(o.cloud) > 0 && !json.Valid(o.cloud) {
			return fmt.Errorf("%w: %s %s/%s", errDamaged, o.Resource, o.Namespace, o.Name)
		}
		if len(o.cloud) == 0 {
			o.cloud = nil
		}
		if o.holders = s.holdersIn(holders); len(o.holders) == 0 {
			s.dirty.objects[o.Key] = true
			return nil
		}
		if s.byRes[o.Resource] == nil {
			s.byRes[o.Resource] = map[Key]*Object{}
		}
		s.objects[o.Key], s.byRes[o.Resource][o.Key] = &o, &o
		s.bytes += o.bytes()
		return nil
	})
}

func (s *state) loadLast(ctx context.Context, db *sql.DB) error {
	return each(ctx, db, "SELECT grp, version, resource, rv FROM last", func(scan scanner) error {
		var r Resource
		var rv uint64
		err := scan(&r.Group, &r.Version, &r.Name, &rv)
		s.log.trimmed[r] = rv
		return err
	})
}

// loadEvents reads the log. Of an event only the old state is stored: the new one
// is the old one of the next event of that object, or its present state.
func (s *state) loadEvents(ctx context.Context, db *sql.DB) error {
	next := map[Key]*Object{}
	var events []Event
	err := each(ctx, db, `SELECT rv, grp, version, resource, namespace, name, gone, uid, cloud_version, old_rv, since, holders, json FROM events ORDER BY rv DESC`, func(scan scanner) error {
		var e Event
		var key Key
		var gone bool
		var uid, version, holders sql.NullString
		var rv, since sql.NullInt64
		var object []byte
		if err := scan(&e.RV, &key.Resource.Group, &key.Resource.Version, &key.Resource.Name, &key.Namespace, &key.Name,
			&gone, &uid, &version, &rv, &since, &holders, &object); err != nil {
			return err
		}
		if !gone {
			var ok bool
			if e.New, ok = next[key]; !ok {
				e.New = s.objects[key]
			}
		}
		if len(object) > 0 {
			if !json.Valid(object) {
				return fmt.Errorf("%w: event %d", errDamaged, e.RV)
			}
			e.Old = &Object{Key: key, UID: uid.String, Version: version.String, RV: uint64(rv.Int64),
				Since: uint64(since.Int64), JSON: object, holders: s.holdersIn(holders.String)}
		}
		next[key] = e.Old
		if e.Old != nil || e.New != nil {
			events = append(events, e)
		}
		return nil
	})
	slices.Reverse(events)
	for _, e := range events {
		s.log.add(e)
	}
	return err
}
