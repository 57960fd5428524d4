package udev

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/akri-go/akri/internal/dirwatch"
)

// recordWatch tells when udevd has written or deleted records. udevd writes them
// some milliseconds after the kernel's event, and its own events do not reach
// other network namespaces.
type recordWatch struct {
	watcher *dirwatch.Watcher // nil if there is nothing to watch
	done    chan struct{}
	running sync.WaitGroup
}

// watchRecords watches the folder data in udevd's folder. It calls changed with
// the name of a record, or "" if any may have changed. If udevd's folder does
// not exist, because it was not mounted, it watches nothing.
func watchRecords(udev string, log *slog.Logger, changed func(name string)) *recordWatch {
	r := &recordWatch{done: make(chan struct{})}
	if _, err := os.Stat(udev); errors.Is(err, fs.ErrNotExist) {
		return r
	}
	data := filepath.Join(udev, "data")
	// The folder itself too: udevd makes data when it starts.
	r.watcher = dirwatch.New(log, udev, data)
	r.running.Go(func() {
		for {
			select {
			case <-r.done:
				return
			case c := <-r.watcher.Changes():
				if c.Dir == data {
					changed(c.Name)
				}
			}
		}
	})
	return r
}

func (r *recordWatch) stop() {
	close(r.done)
	if r.watcher != nil {
		r.watcher.Close()
	}
	r.running.Wait()
}
