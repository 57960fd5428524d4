// Package dirwatch tells when something in a folder may have changed.
//
// It watches by inotify. Of that a node has little: root's processes share
// fs.inotify.max_user_instances, 128 by default, and one Pod can use them up.
// While there is none to have, and while a folder is not there, it looks every
// second instead, and goes back to inotify as soon as that works.
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

// lookInterval is how often a folder is looked at that cannot be watched.
const lookInterval = time.Second

// repeatInterval is how long the same trouble is not told again.
const repeatInterval = 10 * time.Minute

// Change says that something may have changed: whoever hears of it looks.
type Change struct {
	// Dir is the folder, as it was given to [New].
	Dir string
	// Name is what was made, written, replaced or removed there. It is ""
	// if it may have been anything, the folder itself included.
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
	notify *fsnotify.Watcher // nil while there is none to have
	told   time.Time         // when looking was last told of
	looks  bool              // it was told and is still so
}

type dir struct {
	path    string
	watched bool     // by inotify
	last    snapshot // what was there, if it is not watched
}

// New watches folders, which need not be there yet. What happens after it has
// returned is not missed. Close it.
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

// Changes brings what changes. It is never closed.
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

// unwatched tells whether a folder has to be looked at, because nothing would
// tell that it can be watched now.
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

// lookAround looks at the folders that are not watched, and tries to watch them.
// It looks after it has tried, so that nothing is missed between.
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

// watch has inotify watch as much as it can.
func (w *Watcher) watch() {
	var trouble error
	if w.notify == nil {
		w.notify, trouble = fsnotify.NewWatcher()
		if trouble != nil {
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
		case !errors.Is(err, fs.ErrNotExist): // that is no trouble, it may come
			trouble = err
		}
	}
	w.say(trouble)
}

// say tells once that folders cannot be watched, and once that they can again.
func (w *Watcher) say(trouble error) {
	switch {
	case trouble != nil && !w.looks && time.Since(w.told) >= repeatInterval:
		w.looks, w.told = true, time.Now()
		w.log.Warn("cannot watch folders by inotify, looking at them every second instead",
			"folders", w.paths(), "error", trouble, "remedy", Remedy(trouble))
	case trouble == nil && w.looks:
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

// happened passes an event on. Its name may be that of a watched folder: then
// the folder itself has come, gone or got another mode.
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
