package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// schema of the tables. Its version is the file's user_version; a file of
// another version is moved aside like a damaged one, and synced anew.
const (
	schemaVersion = 2
	schema        = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE interests (id INTEGER PRIMARY KEY, what TEXT NOT NULL, version TEXT NOT NULL, since INTEGER NOT NULL, used_day INTEGER NOT NULL);
CREATE TABLE objects (grp TEXT, version TEXT, resource TEXT, namespace TEXT, name TEXT, uid TEXT NOT NULL, cloud_version TEXT NOT NULL,
	rv INTEGER NOT NULL, since INTEGER NOT NULL, holders TEXT NOT NULL, json BLOB NOT NULL, cloud BLOB,
	PRIMARY KEY (grp, version, resource, namespace, name));
CREATE TABLE events (rv INTEGER PRIMARY KEY, grp TEXT, version TEXT, resource TEXT, namespace TEXT, name TEXT, gone INTEGER NOT NULL,
	uid TEXT, cloud_version TEXT, old_rv INTEGER, since INTEGER, holders TEXT, json BLOB);
CREATE TABLE last (grp TEXT, version TEXT, resource TEXT, rv INTEGER NOT NULL, PRIMARY KEY (grp, version, resource));
CREATE TABLE blobs (path TEXT, accept TEXT, type TEXT NOT NULL, fetched INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (path, accept));
CREATE TABLE outbox (seq INTEGER PRIMARY KEY, grp TEXT, version TEXT, resource TEXT, namespace TEXT, name TEXT, kind TEXT NOT NULL,
	durable INTEGER NOT NULL, deletes TEXT NOT NULL, at INTEGER NOT NULL, call TEXT NOT NULL, body BLOB);
PRAGMA user_version = 2;`
)

// file is the SQLite file. db is nil while it cannot be opened.
type file struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	db   *sql.DB
	used map[blobKey]time.Time // when blobs were last used since the start
}

var (
	errDamaged = errors.New("the file is damaged")
	// errEmpty is that of a file that has nothing yet, and cannot be written.
	errEmpty = errors.New("the file cannot be begun")
	// errAnother is that of a file which could not be opened at the start: what it
	// has is not known, and must stay.
	errAnother = errors.New("it has a store of before, which edgecore did not find when it started: restart edgecore to go on with it")
)

// code is the primary result code of SQLite, 0 if err is not SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func damaged(err error) bool {
	return errors.Is(err, errDamaged) || code(err) == lib.SQLITE_CORRUPT || code(err) == lib.SQLITE_NOTADB
}

// open opens the file and reads it into st. It returns the store's id.
//
// Only a damaged file is replaced. One that cannot be opened for another reason
// stays as it is, and is an error: it has what waits for the cloud. Where there
// is nothing yet, nothing can be lost.
func (f *file) open(ctx context.Context, st *state) (id string, err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the store: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id, err = f.openAndLoad(ctx, st)
	if damaged(err) {
		if f.moveAsideLocked(err) == nil {
			id, err = f.openAndLoad(ctx, st)
		}
	}
	switch {
	case err == nil:
		return id, nil
	case code(err) == lib.SQLITE_BUSY, code(err) == lib.SQLITE_LOCKED:
		return "", fmt.Errorf("open the store %s: another process has it, end that one first: %w", f.path, err)
	case !damaged(err) && !errors.Is(err, errEmpty) && !f.isNothing():
		return "", fmt.Errorf("open the store %s: %w; it stays as it is: mend its disk or its permissions, or move it away: "+
			"then everything is synced anew when cloudcore can be reached, and what waits for the cluster is lost", f.path, err)
	}
	f.log.Error("the store's file cannot be made: what is synced is in memory only, and a restart loses it; make room on its disk", "file",
		f.path, "error", err)
	return rand.Text(), nil
}

// isNothing reports whether there is no file that could have anything.
func (f *file) isNothing() bool {
	info, err := os.Stat(f.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return !info.Mode().IsRegular() || info.Size() == 0
}

func (f *file) openAndLoad(ctx context.Context, st *state) (string, error) {
	if err := f.connect(ctx); err != nil {
		return "", err
	}
	id, err := load(ctx, f.db, st)
	if err != nil {
		f.disconnect()
	}
	return id, err
}

// connect opens the file and makes its tables.
//
// It is locked for this process alone. So SQLite needs no shared memory beside
// it, and a file on a full disk can still be read.
func (f *file) connect(ctx context.Context) error {
	if h, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		h.Close() // SQLite would make it readable for all
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: f.path, RawQuery: url.Values{
		// The driver sorts these, and all others come after them. What looks at the
		// file must come after locking_mode.
		"_pragma":       {"busy_timeout(2000)", "locking_mode(EXCLUSIVE)"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"NORMAL"},
		"_txlock":       {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	f.db = db
	if _, err := db.ExecContext(ctx, "PRAGMA cache_size = -256; PRAGMA journal_size_limit = 1048576"); err != nil {
		f.disconnect()
		return err
	}
	var version int
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	switch {
	case err == nil && version == 0:
		if _, err = db.ExecContext(ctx, "BEGIN IMMEDIATE;"+schema+"COMMIT;"); err != nil {
			err = fmt.Errorf("%w: %w", errEmpty, err)
		}
	case err == nil && version != schemaVersion:
		err = fmt.Errorf("%w: it is of version %d, and this program has %d", errDamaged, version, schemaVersion)
	case err == nil:
		var said string
		if err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err == nil && said != "ok" {
			err = fmt.Errorf("%w: %s", errDamaged, said)
		}
	}
	if err != nil {
		f.disconnect()
	}
	return err
}

func (f *file) disconnect() {
	if f.db != nil {
		f.db.Close()
		f.db = nil
	}
}

// moveAside makes room for a new file. The last damaged one is kept.
func (f *file) moveAside(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.moveAsideLocked(why) // the next write finds the same, and tries again
}

func (f *file) moveAsideLocked(why error) error {
	f.disconnect()
	aside := f.path + ".damaged"
	err := os.Rename(f.path, aside)
	for _, suffix := range []string{"-wal", "-shm"} {
		if err != nil {
			break
		}
		if err = os.Rename(f.path+suffix, aside+suffix); errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(aside + suffix) // that of an older one
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	f.log.Error("THE STORE IS DAMAGED: it is moved aside, and everything is synced anew when cloudcore can be reached; until then clients get 503",
		"file", f.path, "movedTo", aside, "damage", why, "error", err)
	return err
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return nil
	}
	err := f.db.Close()
	f.db = nil
	return err
}

// reach makes sure that there is an open file, and that it is this store's: one
// that was there all the time, and could not be opened, is not written.
func (f *file) reach(ctx context.Context, id string) error {
	if f.db != nil {
		return nil
	}
	err := f.connect(ctx)
	if damaged(err) {
		if err = f.moveAsideLocked(err); err == nil {
			err = f.connect(ctx)
		}
	}
	if err != nil {
		return err
	}
	var has string
	err = f.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaID).Scan(&has)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil // nothing was ever written
	case err == nil && has != id:
		err = errAnother
	}
	if err != nil {
		f.disconnect()
	}
	return err
}
