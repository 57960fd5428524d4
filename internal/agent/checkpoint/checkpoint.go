// Package checkpoint keeps the agent's state over restarts, one file for each
// state.
//
// A checkpoint is a JSON file with a version and a checksum. It is replaced as a
// whole, by a rename: after a crash or a power cut it holds the old state or the
// new one. A file that cannot be used is renamed and the agent starts without it.
package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// maxBytes bounds what is read back, in bytes.
	maxBytes = 64 << 20
	// maxAside is how many renamed files are kept.
	maxAside = 3
)

// ErrUnusable says that a file is damaged or was written by a newer program.
// Errors of [File.Load] wrap it.
var ErrUnusable = errors.New("checkpoint is unusable")

// File is the checkpoint of one state. Calls must not overlap.
type File[T any] struct {
	// Path of the file. Its folder is made, with mode 0700, if it is missing.
	Path string
	// Version of T's form, 1 or more. Increase it when older programs would
	// misread the new form.
	Version int
	// Migrate turns the data of an older version into T. If it is nil, older data
	// is read as it is.
	Migrate func(version int, data json.RawMessage) (T, error)
}

// envelope is what the file holds.
type envelope struct {
	Version int `json:"version"`
	// Checksum is the SHA-256, in hexadecimal, of the version and Data in
	// compact form.
	Checksum string          `json:"checksum"`
	Data     json.RawMessage `json:"data"`
}

// Load returns the saved state. The error is fs.ErrNotExist if there is none.
// It is [ErrUnusable] if the file is damaged or of a newer version and was
// renamed to <path>.corrupt-<time>: start with an empty state then. After any
// other error the file is where it was.
func (f File[T]) Load() (T, error) {
	var zero T
	raw, err := read(f.Path)
	if err != nil {
		return zero, fmt.Errorf("read checkpoint: %w", err)
	}
	state, err := f.decode(raw)
	if err == nil {
		return state, nil
	}
	aside, asideErr := f.setAside(time.Now())
	if asideErr != nil {
		return zero, fmt.Errorf("%w: %s: %w; it could not be renamed either: %w", ErrUnusable, f.Path, err, asideErr)
	}
	return zero, fmt.Errorf("%w: %s: %w; kept as %s", ErrUnusable, f.Path, err, filepath.Base(aside))
}

// Save replaces the saved state. It returns nil when the new state is on the
// disk. After an error the file holds the old state, or the new one if only the
// rename may not survive a power cut.
func (f File[T]) Save(state T) error {
	raw, err := f.encode(state)
	if err != nil {
		return fmt.Errorf("save checkpoint %s: %w", f.Path, err)
	}
	if err := replace(f.Path, raw); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

func (f File[T]) encode(state T) ([]byte, error) {
	data, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(envelope{Version: f.Version, Checksum: checksum(f.Version, data), Data: data})
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBytes {
		return nil, fmt.Errorf("%d bytes are more than the %d that would be read back", len(raw), maxBytes)
	}
	return raw, nil
}

func (f File[T]) decode(raw []byte) (T, error) {
	var state T
	if len(raw) > maxBytes {
		return state, fmt.Errorf("it has more than %d bytes", maxBytes)
	}
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return state, err
	}
	var data bytes.Buffer
	if err := json.Compact(&data, e.Data); err != nil {
		return state, fmt.Errorf("it has no data: %w", err)
	}
	if e.Checksum != checksum(e.Version, data.Bytes()) {
		return state, errors.New("its checksum is wrong")
	}
	switch {
	case e.Version > f.Version:
		return state, fmt.Errorf("it has version %d, and this program knows %d: a newer one wrote it", e.Version, f.Version)
	case e.Version < f.Version && f.Migrate != nil:
		return f.Migrate(e.Version, e.Data)
	}
	err := json.Unmarshal(e.Data, &state)
	return state, err
}

func checksum(version int, data []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", version)
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxBytes+1))
}

// replace writes a file. At any moment it has the old or the new content, and the
// new one once replace returns nil.
func replace(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// One fixed name: what a crash leaves is overwritten by the next save.
	temp := path + ".tmp"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp) // the disk may be full
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// setAside renames the file. It removes the oldest files that were renamed
// before, so that a file that is damaged again and again does not fill the
// disk.
func (f File[T]) setAside(now time.Time) (string, error) {
	// Fixed width and UTC, so that names sort by time.
	aside := f.Path + ".corrupt-" + now.UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(f.Path, aside); err != nil {
		return "", err
	}
	files, err := fs.Glob(os.DirFS(filepath.Dir(f.Path)), filepath.Base(f.Path)+".corrupt-*")
	if err != nil {
		return aside, nil //nolint:nilerr // only for a bad pattern: nothing to clean up then
	}
	slices.Sort(files)
	for len(files) > maxAside {
		_ = os.Remove(filepath.Join(filepath.Dir(f.Path), files[0]))
		files = files[1:]
	}
	return aside, nil
}
