// Package dirwatch tells when something in a folder may have changed.
//
// It uses inotify. A node has few inotify instances: all of root's processes
// share fs.inotify.max_user_instances, 128 by default, and one Pod can use them
// up. While it gets none, or while a folder does not exist, it looks every
// second instead, and returns to inotify as soon as that works.
package dirwatch

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// lookInterval is the time between two looks at a folder that cannot be watched.
const lookInterval = time.Second

// repeatInterval is how long the same problem is not logged again.
const repeatInterval = 10 * time.Minute

// Change says that something may have changed.
type Change struct {
	// Dir is the folder, as it was given to [New].
	Dir string
	// Name is what was made, written, replaced or removed there. "" means that it
	// may have been anything, including the folder itself.
	Name string
}

// Watcher watches folders until it is closed.
type Watcher struct {
	log      *slog.Logger
	interval time.Duration
	changes  chan Change
	done     chan struct{}
	ended    chan struct{}

	// The rest is run's.
	dirs   []*dir
	notify *fsnotify.Watcher // nil while there is none
	told   time.Time         // when it was last logged that folders cannot be watched
	looks  bool              // that was logged and still holds
}

type dir struct {
	path    string
	watched bool     // by inotify
	last    snapshot // what was there, if it is not watched
}

// New watches folders, which need not exist yet. It misses nothing that happens
// after it has returned. Close the Watcher in the end.
func New(log *slog.Logger, folders ...string) *Watcher {
	return start(log, lookInterval, folders...)
}

func start(log *slog.Logger, interval time.Duration, folders ...string) *Watcher {
	w := &Watcher{log: log, interval: interval, changes: make(chan Change), done: make(chan struct{}), ended: make(chan struct{})}
	for _, path := range folders {
		path = filepath.Clean(path)
		w.dirs = append(w.dirs, &dir{path: path, last: look(path)})
	}
	w.watch()
	go w.run()
	return w
}

// Changes returns the channel of changes. It is never closed.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Close ends the watch.
func (w *Watcher) Close() {
	close(w.done)
	<-w.ended
}

func (w *Watcher) run() {
	defer close(w.ended)
	defer func() {
		if w.notify != nil {
			w.notify.Close()
		}
	}()
	ticker := time.NewTicker(w.interval)
	defer ticker.Stop()
	for {
		var events chan fsnotify.Event
		var failures chan error
		if w.notify != nil {
			events, failures = w.notify.Events, w.notify.Errors
		}
		tick := ticker.C
		if !w.unwatched() {
			tick = nil
		}
		select {
		case <-w.done:
			return
		case <-tick:
			w.lookAround()
		case event := <-events:
			w.happened(event)
		case <-failures: // most likely an overflow: something was missed
			for _, d := range w.dirs {
				w.tell(Change{Dir: d.path})
			}
		}
	}
}

func (w *Watcher) tell(c Change) {
	select {
	case w.changes <- c:
	case <-w.done:
	}
}

// unwatched tells whether there is a folder to look at, because no event tells
// when it can be watched.
func (w *Watcher) unwatched() bool {
	for _, d := range w.dirs {
		if !d.watched && !(d.last.missing && w.watches(filepath.Dir(d.path))) {
			return true
		}
	}
	return false
}

func (w *Watcher) watches(path string) bool {
	for _, d := range w.dirs {
		if d.path == path {
			return d.watched
		}
	}
	return false
}

// lookAround tries to watch the folders that are not watched, and then looks at
// them, in this order to miss nothing.
func (w *Watcher) lookAround() {
	var waiting []*dir
	for _, d := range w.dirs {
		if !d.watched {
			waiting = append(waiting, d)
		}
	}
	w.watch()
	for _, d := range waiting {
		now := look(d.path)
		changed := d.last.differs(now)
		d.last = now
		if d.watched {
			d.last = snapshot{}
		}
		for _, name := range changed {
			w.tell(Change{Dir: d.path, Name: name})
		}
	}
}

// watch watches as many folders by inotify as it can.
func (w *Watcher) watch() {
	var problem error
	if w.notify == nil {
		w.notify, problem = fsnotify.NewWatcher()
		if problem != nil {
			w.notify = nil
		}
	}
	for _, d := range w.dirs {
		if w.notify == nil || d.watched {
			continue
		}
		switch err := w.notify.Add(d.path); {
		case err == nil:
			d.watched = true
		case !errors.Is(err, fs.ErrNotExist): // it may come
			problem = err
		}
	}
	w.say(problem)
}

// say logs once that folders cannot be watched, and once that they can again.
func (w *Watcher) say(problem error) {
	switch {
	case problem != nil && !w.looks && time.Since(w.told) >= repeatInterval:
		w.looks, w.told = true, time.Now()
		w.log.Warn("cannot watch folders by inotify; looking at them every second instead",
			"folders", w.paths(), "error", problem, "remedy", Remedy(problem))
	case problem == nil && w.looks:
		w.looks = false
		w.log.Info("watching folders by inotify again", "folders", w.paths())
	}
}

func (w *Watcher) paths() (paths []string) {
	for _, d := range w.dirs {
		paths = append(paths, d.path)
	}
	return paths
}

// Remedy says what to do about an error of inotify.
func Remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "the inotify instances of this user are used up on this node (or the files that this process may open): " +
			"raise fs.inotify.max_user_instances, as by sysctl -w fs.inotify.max_user_instances=1024"
	case errors.Is(err, syscall.ENOSPC):
		return "the inotify watches of this user are used up on this node: " +
			"raise fs.inotify.max_user_watches, as by sysctl -w fs.inotify.max_user_watches=524288"
	case errors.Is(err, fs.ErrPermission):
		return "let this process read the folder"
	}
	return "none is known"
}

// happened passes an event on. If its name is that of a watched folder, the
// folder itself was made or removed, or got another mode.
func (w *Watcher) happened(event fsnotify.Event) {
	again := false
	for _, d := range w.dirs {
		switch {
		case event.Name == d.path:
			if event.Has(fsnotify.Create | fsnotify.Remove | fsnotify.Rename) {
				d.watched, again = false, true
				d.last = snapshot{missing: true}
			}
			w.tell(Change{Dir: d.path})
		case filepath.Dir(event.Name) == d.path && event.Op != fsnotify.Chmod:
			w.tell(Change{Dir: d.path, Name: filepath.Base(event.Name)})
		}
	}
	if again {
		w.lookAround()
	}
}
