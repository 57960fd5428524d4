package debugecho

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/akri-go/akri/internal/dirwatch"
)

// maxFileBytes is how much of the availability file is read.
const maxFileBytes = 64 << 10

// availability watches a file for all requests: they share one inotify
// instance, of which a user has few.
type availability struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	stop     func() // of the watch; nil while nobody watches
}

// watch sends on changed when the file may have changed, until stop is called.
func (a *availability) watch() (changed <-chan struct{}, stop func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	folder := filepath.Dir(a.path)
	if _, err := os.Stat(folder); err != nil {
		return nil, nil, fmt.Errorf("watch %s: folder: %w", a.path, err)
	}
	if a.stop == nil {
		a.watchers = make(map[chan struct{}]struct{})
		// The folder, because the file comes and goes.
		watcher, done := dirwatch.New(a.log, folder), make(chan struct{})
		go a.follow(watcher, done)
		a.stop = func() {
			close(done)
			watcher.Close()
		}
	}
	c := make(chan struct{}, 1)
	a.watchers[c] = struct{}{}
	return c, func() { a.leave(c) }, nil
}

func (a *availability) leave(c chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.watchers, c)
	if len(a.watchers) == 0 && a.stop != nil {
		a.stop()
		a.stop = nil
	}
}

// follow wakes all watchers when the file may have changed, until done.
func (a *availability) follow(watcher *dirwatch.Watcher, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case change := <-watcher.Changes():
			if change.Name == "" || change.Name == filepath.Base(a.path) {
				a.tell()
			}
		}
	}
}

func (a *availability) tell() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.watchers {
		select {
		case c <- struct{}{}:
		default: // it was told already
		}
	}
}

// online reads the file.
func (a *availability) online() (bool, error) {
	// Without O_NONBLOCK, opening a named pipe would block, and anybody can make
	// one in /tmp.
	f, err := os.OpenFile(a.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read availability: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false, fmt.Errorf("read availability: %s is not a plain file", a.path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return false, fmt.Errorf("read availability: %w", err)
	}
	return !bytes.Contains(text, []byte("OFFLINE")), nil
}
