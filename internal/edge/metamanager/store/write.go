package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
)

// write writes a batch in one transaction.
func (f *file) write(ctx context.Context, id string, b batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.reach(ctx, id); err != nil {
		return err
	}
	if _, err := f.db.ExecContext(ctx, "PRAGMA synchronous = "+b.synchronous()); err != nil {
		return err
	}
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, step := range []func(context.Context, *sql.Tx) error{b.writeObjects, b.writeInterests, b.writeEvents,
		b.writeEntries} {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	gaps, err := json.Marshal(b.gaps)
	if err != nil {
		return err
	}
	for _, m := range [][2]string{
		{metaID, id}, {metaGaps, string(gaps)}, {metaSeq, strconv.FormatUint(b.seq, 10)}, {metaBorn,
			strconv.FormatUint(b.born, 10)},
	} {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", m[0], m[1]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// synchronous is whether the disk has to have the batch when it is written. That
// takes milliseconds, and wears the flash.
func (b batch) synchronous() string {
	if b.durable {
		return "FULL"
	}
	return "NORMAL"
}

func (b batch) writeObjects(ctx context.Context, tx *sql.Tx) error {
	for key, o := range b.objects {
		if o == nil {
			if _, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE grp = ? AND version = ? AND resource = ? AND namespace = ? AND name = ?",
				key.Resource.Group, key.Resource.Version, key.Resource.Name, key.Namespace, key.Name); err != nil {
				return err
			}
			continue
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO objects (grp, version, resource, namespace, name, uid, cloud_version, rv, since, holders, json, cloud)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, key.Resource.Group, key.Resource.Version, key.Resource.Name, key.Namespace, key.Name,
			o.UID, o.Version, int64(o.RV), int64(o.Since), ids(o.holders), o.JSON, o.cloud)
		if err != nil {
			return err
		}
	}
	return nil
}

func ids(holders []int64) string {
	text, _ := json.Marshal(holders) // numbers always can be
	return string(text)
}

func (b batch) writeInterests(ctx context.Context, tx *sql.Tx) error {
	for id, i := range b.interests {
		if i == nil {
			if _, err := tx.ExecContext(ctx, "DELETE FROM interests WHERE id = ?", id); err != nil {
				return err
			}
			continue
		}
		what, err := json.Marshal(i.what)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO interests (id, what, version, since, used_day) VALUES (?, ?, ?, ?, ?)",
			id, string(what), i.version, int64(i.since), i.usedDay); err != nil {
			return err
		}
	}
	return nil
}

func (b batch) writeEvents(ctx context.Context, tx *sql.Tx) error {
	for _, e := range b.events {
		res := e.resource()
		key := e.Old
		if key == nil {
			key = e.New
		}
		args := []any{int64(e.RV), res.Group, res.Version, res.Name, key.Namespace, key.Name, e.New == nil}
		if o := e.Old; o != nil {
			args = append(args, o.UID, o.Version, int64(o.RV), int64(o.Since), ids(o.holders), o.JSON)
		} else {
			args = append(args, nil, nil, nil, nil, nil, nil)
		}
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO events (rv, grp, version, resource, namespace, name, gone, uid, cloud_version, old_rv, since, holders, json)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, args...); err != nil {
			return err
		}
	}
	if b.first > 0 {
		if _, err := tx.ExecContext(ctx, "DELETE FROM events WHERE rv < ?", int64(b.first)); err != nil {
			return err
		}
	}
	for res, rv := range b.trimmed {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO last (grp, version, resource, rv) VALUES (?, ?, ?, ?)",
			res.Group, res.Version, res.Name, int64(rv)); err != nil {
			return err
		}
	}
	return nil
}
