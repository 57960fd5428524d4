package udev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// recordWatch tells a monitor when udevd has written records. udevd does so
// some milliseconds after the kernel's event, and tells it to nobody in
// another network namespace.
type recordWatch struct {
	watcher *fsnotify.Watcher // nil if there is nothing to watch
	m       *monitor
	data    string
	err     error
}

// watchRecords watches the folder data in udevd's folder. If that is not there
// (it was not mounted), there is nothing to watch.
func watchRecords(udev string, m *monitor) *recordWatch {
	r := &recordWatch{m: m, data: filepath.Join(udev, "data")}
	if _, err := os.Stat(udev); errors.Is(err, fs.ErrNotExist) {
		return r
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		r.err = fmt.Errorf("watch %s, which ENV and TAG need (is fs.inotify.max_user_instances used up?): %w", r.data, err)
		return r
	}
	// The folder itself too: udevd makes data when it starts.
	if err = w.Add(udev); err == nil {
		if err = w.Add(r.data); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		r.err = fmt.Errorf("watch %s, which ENV and TAG need: %w", r.data, err)
		w.Close()
		return r
	}
	r.watcher = w
	m.running.Go(r.run)
	return r
}

func (r *recordWatch) stop() {
	if r.watcher != nil {
		r.watcher.Close()
	}
}

func (r *recordWatch) run() {
	for {
		select {
		case e, ok := <-r.watcher.Events:
			if !ok {
				return
			}
			switch {
			case e.Name == r.data && e.Has(fsnotify.Create):
				if err := r.watcher.Add(r.data); err != nil {
					r.m.log.Warn("cannot watch udevd's records", "err", err)
				}
				r.m.recordsChanged()
			case filepath.Dir(e.Name) == r.data && !e.Has(fsnotify.Chmod):
				r.m.recordChanged(filepath.Base(e.Name))
			}
		case err, ok := <-r.watcher.Errors:
			if !ok {
				return
			}
			r.m.log.Warn("watching udevd's records failed, looking at all of them", "err", err)
			r.m.recordsChanged()
		}
	}
}
