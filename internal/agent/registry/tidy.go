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
	// sweepDelay is how long after a change the folder is swept, so that many
	// changes cost one sweep.
	sweepDelay = time.Second
	// sweepInterval is the time between sweeps while there are sockets whose
	// processes could end without this agent hearing of it.
	sweepInterval = 10 * time.Second
	// maxSweepEntries bounds a sweep.
	maxSweepEntries = 4096
)

// tidy watches the folder until ctx is done: for the agent's own socket and for
// dead ones. Only the owner of a dead socket or of the folder may remove it, and
// the handler may come back as another user: those of upstream Akri ran as root.
func (r *Registry) tidy(ctx context.Context) {
	watcher := dirwatch.New(r.log, r.opts.Dir)
	defer watcher.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	soon := func() {
		if time.Until(due) > sweepDelay {
			due = time.Now().Add(sweepDelay)
			timer.Reset(sweepDelay)
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
				wait = sweepInterval
			}
			due = time.Now().Add(wait)
			timer.Reset(wait)
		}
	}
}

// sweep removes the dead sockets of the folder, and tells whether there are
// sockets that may be dead later. Those that cannot be asked or removed are
// logged once.
func (r *Registry) sweep(told map[string]string) (again bool) {
	folder, err := os.Open(r.opts.Dir)
	if err != nil {
		return false // serve says so
	}
	entries, _ := folder.ReadDir(maxSweepEntries)
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
				r.log.Warn("cannot clear a socket from the handlers' folder", "error", err)
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

// answering returns the endpoints with a stream that has reported: if they end,
// the agent notices at once.
func (r *Registry) answering() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]bool{}
	for _, req := range r.requests {
		for e, s := range req.streams {
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
