package udev

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/akri-go/akri/internal/dirwatch"
)

// recordWatch tells a monitor when udevd has written records. udevd writes them
// some milliseconds after the kernel's event, and its own events do not reach
// other network namespaces.
type recordWatch struct {
	watcher *dirwatch.Watcher // nil if there is nothing to watch
	done    chan struct{}
}

// watchRecords watches the folder data in udevd's folder. If udevd's folder
// does not exist, because it was not mounted, it watches nothing.
func watchRecords(udev string, m *monitor) *recordWatch {
	r := &recordWatch{done: make(chan struct{})}
	if _, err := os.Stat(udev); errors.Is(err, fs.ErrNotExist) {
		return r
	}
	data := filepath.Join(udev, "data")
	// The folder itself too: udevd makes data when it starts.
	r.watcher = dirwatch.New(m.log, udev, data)
	m.running.Go(func() {
		for {
			select {
			case <-r.done:
				return
			case c := <-r.watcher.Changes():
				switch {
				case c.Dir != data:
				case c.Name == "":
					m.recordsChanged()
				default:
					m.recordChanged(c.Name)
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
}
