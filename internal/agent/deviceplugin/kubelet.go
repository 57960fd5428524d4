package deviceplugin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// The kubelet's socket is watched; looking at it now and then is for the
	// case that events are lost, or the folder is not there yet.
	lookForKubelet = time.Second
	lookAtKubelet  = 30 * time.Second
)

// kubeletID tells one kubelet from the next, by the socket that each makes.
type kubeletID struct {
	inode   uint64
	created syscall.Timespec
}

func identify(socket string) (kubeletID, error) {
	info, err := os.Stat(socket)
	if err != nil {
		return kubeletID{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Type() != fs.ModeSocket {
		return kubeletID{}, errors.New("it is not a socket")
	}
	return kubeletID{inode: stat.Ino, created: stat.Ctim}, nil
}

// watchKubelet has everything registered when there is a new kubelet, until ctx
// is done.
func (p *Plugin) watchKubelet(ctx context.Context) {
	socket := filepath.Join(p.dir, kubeletSocket)
	var events <-chan fsnotify.Event
	var failures <-chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		p.log.Warn("the kubelet's folder cannot be watched; looking at it every second", "err", err)
	} else {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
	}
	missing := false
	for ctx.Err() == nil {
		if watcher != nil {
			// Again and again: the folder may be new. It is no news if it is not.
			_ = watcher.Add(p.dir)
		}
		found := p.lookForKubelet(socket)
		if found == missing {
			missing = !found
			if missing {
				p.log.Warn("there is no kubelet to register with; waiting for its socket", "path", socket)
			}
		}
		wait := lookAtKubelet
		if missing || watcher == nil {
			wait = lookForKubelet
		}
		waitFor(ctx, socket, wait, events, failures)
	}
}

// waitFor returns when the kubelet's socket was touched or it is time to look.
func waitFor(ctx context.Context, socket string, wait time.Duration, events <-chan fsnotify.Event, failures <-chan error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-failures: // such as an overflow: look
			return
		case event := <-events:
			if event.Name == socket && event.Has(fsnotify.Create|fsnotify.Remove) {
				return
			}
		}
	}
}

// lookForKubelet notes which kubelet is there, and queues all resources if it is
// a new one.
func (p *Plugin) lookForKubelet(socket string) (found bool) {
	id, err := identify(socket)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		id = kubeletID{}
	}
	if id == p.kubelet {
		return err == nil
	}
	p.kubelet = id
	if err != nil {
		return false
	}
	p.log.Info("registering with the kubelet", "resources", len(p.resources))
	for _, name := range p.names() {
		p.queue.Forget(name)
		p.queue.Add(name)
	}
	return true
}
