package registry

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/akri-go/akri/internal/dirwatch"
	"github.com/akri-go/akri/internal/unixsock"
)

const (
	// sweepPause is how long after a change the folder is looked through, so that
	// many changes cost one look.
	sweepPause = time.Second
	// sweepAgain is when it is looked through again while there are sockets of
	// which nobody would tell us that their process has ended.
	sweepAgain = 10 * time.Second
	// sweepEntries bounds a look.
	sweepEntries = 4096
)

// tidy watches the folder until ctx is done: for the agent's own socket, and for
// dead ones. Only their owner and the owner of the folder may remove them, and a
// handler may come back as another user, as those of upstream Akri do, which ran
// as root.
func (r *Registry) tidy(ctx context.Context) {
	watcher := dirwatch.New(r.log, r.opts.Dir)
	defer watcher.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	soon := func() {
		if time.Until(due) > sweepPause {
			due = time.Now().Add(sweepPause)
			timer.Reset(sweepPause)
		}
	}
	told := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.Changes():
			wakeUp(r.touched)
			soon()
		case <-r.refused:
			soon()
		case <-timer.C:
			wait := time.Hour
			if r.sweep(told) {
				wait = sweepAgain
			}
			due = time.Now().Add(wait)
			timer.Reset(wait)
		}
	}
}

// sweep removes the dead sockets of the folder, and tells whether there are some
// that may be dead later. What cannot be asked or removed is told of once.
func (r *Registry) sweep(told map[string]string) (again bool) {
	folder, err := os.Open(r.opts.Dir)
	if err != nil {
		return false // serve says so
	}
	entries, _ := folder.ReadDir(sweepEntries)
	folder.Close()
	answering := r.answering()
	seen := map[string]bool{}
	for _, entry := range entries {
		path := filepath.Join(r.opts.Dir, entry.Name())
		if entry.Type() != fs.ModeSocket || entry.Name() == Socket || answering[path] {
			continue
		}
		seen[path] = true
		state, err := unixsock.RemoveDead(path)
		if err != nil {
			if told[path] != err.Error() {
				told[path] = err.Error()
				r.log.Warn("a socket is left in the handlers' folder", "error", err)
			}
		}
		switch state {
		case unixsock.Removed:
			r.log.Info("removed a socket at which nobody answers", "socket", path)
		case unixsock.Live, unixsock.Young:
			again = true
		}
	}
	for path := range told {
		if !seen[path] {
			delete(told, path)
		}
	}
	return again
}

// answering returns the endpoints with a stream that has reported: its end will
// be known at once.
func (r *Registry) answering() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]bool{}
	for _, a := range r.questions {
		for e, s := range a.streams {
			if s.answered {
				ids[e.id] = true
			}
		}
	}
	return ids
}

// wakeUp fills a channel that has room for one.
func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
