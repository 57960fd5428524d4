package deviceplugin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/akri-go/akri/internal/dirwatch"
)

// kubeletLookInterval is the time between two looks at the kubelet's socket. It
// is watched too; the looks are for lost events.
const kubeletLookInterval = 30 * time.Second

// kubeletID identifies a kubelet by its socket: each kubelet makes a new one.
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

// watchKubelet registers all resources when there is a new kubelet, until ctx is
// done.
func (p *Plugin) watchKubelet(ctx context.Context) {
	socket := filepath.Join(p.dir, kubeletSocket)
	watcher := dirwatch.New(p.log, p.dir)
	defer watcher.Close()
	missing := false
	for ctx.Err() == nil {
		found := p.lookForKubelet(socket)
		if found == missing {
			missing = !found
			if missing {
				p.log.Warn("there is no kubelet to register with; waiting for its socket", "path", socket)
			}
		}
		waitFor(ctx, watcher)
	}
}

// waitFor returns when the kubelet's socket has changed or it is time to look.
func waitFor(ctx context.Context, watcher *dirwatch.Watcher) {
	timer := time.NewTimer(kubeletLookInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case change := <-watcher.Changes():
			if change.Name == "" || change.Name == kubeletSocket {
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
