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
	now  func() time.Time

	mu   sync.Mutex
	db   *sql.DB
	wipe bool // it has an older life's rows, which must go first
}

var errDamaged = errors.New("the file is damaged")

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
func (f *file) open(ctx context.Context, st *state) (id string, err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the store: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id, err = f.openAndLoad(ctx, st)
	if damaged(err) {
		f.moveAsideLocked(err)
		id, err = f.openAndLoad(ctx, st)
	}
	switch code(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return "", fmt.Errorf("open the store %s: another process has it: %w", f.path, err)
	}
	if err != nil {
		f.log.Error("the store's file cannot be opened: what is synced is in memory only, and a restart loses it", "file",
			f.path, "error", err)
		f.wipe = true
		return rand.Text(), nil
	}
	return id, nil
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
		_, err = db.ExecContext(ctx, "BEGIN IMMEDIATE;"+schema+"COMMIT;")
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
	f.moveAsideLocked(why)
}

func (f *file) moveAsideLocked(why error) {
	f.disconnect()
	aside := f.path + ".damaged"
	err := os.Rename(f.path, aside)
	for _, suffix := range []string{"-wal", "-shm"} {
		if e := os.Rename(f.path+suffix, aside+suffix); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	f.log.Error("THE STORE IS DAMAGED: it is moved aside, and everything is synced anew when cloudcore can be reached; until then clients get 503",
		"file", f.path, "movedTo", aside, "damage", why, "error", err)
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

// reach makes sure that there is an open file.
func (f *file) reach(ctx context.Context) error {
	if f.db != nil {
		return nil
	}
	err := f.connect(ctx)
	if damaged(err) {
		f.moveAsideLocked(err)
		err = f.connect(ctx)
	}
	return err
}
