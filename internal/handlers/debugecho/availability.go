package debugecho

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// maxFile is how much of the availability file is read.
const maxFile = 64 << 10

// availability watches a file for all that want to know: they share one inotify
// instance, of which a user has few.
type availability struct {
	path string

	mu       sync.Mutex
	watcher  *fsnotify.Watcher // nil while nobody watches
	watchers map[chan error]struct{}
}

// watch says on changed that the file may have changed, or that it cannot be
// watched any more, until stop is called.
func (a *availability) watch() (changed <-chan error, stop func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watcher == nil {
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, nil, fmt.Errorf("watch %s: %w", a.path, err)
		}
		// The folder, since the file comes and goes.
		if err := watcher.Add(filepath.Dir(a.path)); err != nil {
			watcher.Close()
			return nil, nil, fmt.Errorf("watch %s: folder: %w", a.path, err)
		}
		a.watcher, a.watchers = watcher, make(map[chan error]struct{})
		go a.follow(watcher)
	}
	c := make(chan error, 1)
	a.watchers[c] = struct{}{}
	return c, func() { a.leave(c) }, nil
}

func (a *availability) leave(c chan error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.watchers, c)
	if len(a.watchers) == 0 && a.watcher != nil {
		a.watcher.Close()
		a.watcher = nil
	}
}

// follow ends when watcher is closed or its folder is gone.
func (a *availability) follow(watcher *fsnotify.Watcher) {
	folder, file := filepath.Dir(a.path), filepath.Base(a.path)
	for {
		select {
		case event, ok := <-watcher.Events:
			switch {
			case !ok:
				return
			case filepath.Base(event.Name) == file && filepath.Dir(event.Name) == folder:
				a.tell(watcher, nil)
			case event.Name == folder && (event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)):
				a.tell(watcher, fmt.Errorf("watch %s: the folder was removed", a.path))
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				err = nil // look again
			}
			a.tell(watcher, err)
		}
	}
}

// tell wakes all that watch. After an error the next one starts anew.
func (a *availability) tell(watcher *fsnotify.Watcher, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watcher != watcher {
		return
	}
	for c := range a.watchers {
		if err != nil {
			select { // an error must not be lost
			case <-c:
			default:
			}
		}
		select {
		case c <- err:
		default: // it was told already
		}
	}
	if err != nil {
		watcher.Close()
		a.watcher, a.watchers = nil, nil
	}
}

// online reads the file.
func (a *availability) online() (bool, error) {
	// Without O_NONBLOCK a named pipe, which anybody may put in /tmp, would
	// hold us.
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
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return false, fmt.Errorf("read availability: %w", err)
	}
	return !bytes.Contains(text, []byte("OFFLINE")), nil
}
