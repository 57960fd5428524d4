package deviceplugin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	socketPrefix       = "akri-"
	socketSuffix       = ".sock"
	maxSocketPathBytes = 107 // sun_path in unix(7), less the final NUL

	// registrars is how many registrations run at a time. The kubelet accepts
	// them in parallel but writes a checkpoint after each. A few keep it busy
	// and leave it time to admit Pods.
	registrars = 4

	// registerTimeout bounds a registration; the kubelet itself waits 10 s for
	// the socket (plugin/v1beta1/client.go, dial).
	registerTimeout = 15 * time.Second
	// roomTimeout bounds how long registrations wait for Instances to be
	// written. The kubelet spends more on a resource than the API server on an
	// Instance, and they often share their cores.
	roomTimeout = 10 * time.Second
	// streamTimeout bounds the time from a registration to ListAndWatch.
	streamTimeout = 10 * time.Second
)

// endpointState tells how far an endpoint is.
type endpointState int

const (
	waiting endpointState = iota
	streaming
	ended
)

// endpoint is one registration of a resource.
type endpoint struct {
	resource *resource
	path     string
	listener net.Listener
	kubelet  kubeletID
	// ctx is done when the endpoint is given up.
	ctx    context.Context
	cancel context.CancelFunc
	// started is closed when the kubelet watches the list.
	started chan struct{}
	watcher watcher

	// The plugin's mu guards what follows.
	state endpointState
	// again has a list sent that the kubelet has.
	again bool
}

// socketName returns a new name for a socket. It is random, because names of
// resources may be too long.
func socketName() string {
	var random [8]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	return socketPrefix + hex.EncodeToString(random[:]) + socketSuffix
}

// removeDeadSockets removes the sockets of an agent that was killed.
func (p *Plugin) removeDeadSockets() {
	names, err := fs.Glob(os.DirFS(p.dir), socketPrefix+"*"+socketSuffix)
	if err != nil {
		return
	}
	for _, name := range names {
		path := filepath.Join(p.dir, name)
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Type() != fs.ModeSocket {
			continue
		}
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			conn.Close() // of another agent that runs
			continue
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			if err := os.Remove(path); err != nil {
				p.log.Warn("cannot remove a dead socket", "path", path, "error", err)
			}
		}
	}
}

// registerQueued registers resources of the queue until it is shut down.
func (p *Plugin) registerQueued(ctx context.Context, s *server) {
	for {
		name, shutdown := p.queue.Get()
		if shutdown {
			return
		}
		p.awaitRoom(ctx)
		err := p.ensureRegistered(ctx, s, name)
		switch {
		case err == nil:
			p.queue.Forget(name)
		case ctx.Err() == nil:
			p.logFailure(name, err)
			p.queue.AddRateLimited(name)
		}
		p.queue.Done(name)
	}
}

// awaitRoom makes a crowd of resources wait, at most roomTimeout for all of it.
func (p *Plugin) awaitRoom(ctx context.Context) {
	p.mu.Lock()
	if p.crowded.IsZero() {
		p.crowded = time.Now()
	}
	left := roomTimeout - time.Since(p.crowded)
	p.mu.Unlock()
	if left > 0 {
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		p.room(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.Len() == 0 {
		p.crowded = time.Time{}
	}
}

// logFailure logs why a resource could not be registered; only once if the
// kubelet does not answer.
func (p *Plugin) logFailure(resource string, err error) {
	if status.Code(err) != codes.Unavailable {
		p.log.Warn("cannot register with the kubelet; trying again", "resource", resource, "error", err)
		return
	}
	p.mu.Lock()
	first := !p.silent
	p.silent = true
	p.mu.Unlock()
	if first {
		p.log.Warn("the kubelet does not answer; trying again", "error", err)
	}
}

// ensureRegistered registers the resource of a name, unless it is registered with
// the current kubelet.
func (p *Plugin) ensureRegistered(ctx context.Context, s *server, name string) error {
	p.mu.Lock()
	r, kubelet := p.offered(name), p.kubelet
	if r == nil || kubelet == (kubeletID{}) || r.current.serves(kubelet) {
		p.mu.Unlock()
		return nil // a new kubelet has all names queued
	}
	p.mu.Unlock()

	path := filepath.Join(p.dir, socketName())
	listener, err := listen(path)
	if err != nil {
		return err
	}
	e := &endpoint{resource: r, path: path, listener: listener, kubelet: kubelet, started: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(ctx)
	p.mu.Lock()
	if p.offered(name) != r {
		p.mu.Unlock()
		e.cancel()
		listener.Close()
		p.queue.Add(name)
		return nil
	}
	p.endpoints[path], r.next = e, e
	p.mu.Unlock()
	go s.serve(listener)

	err = p.register(e)
	if err == nil {
		err = awaitStream(e)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.next = nil
	if e.ctx.Err() != nil {
		p.closeEndpoint(e)
		if ctx.Err() == nil && p.offered(name) == r {
			return errors.New("its list could not be sent")
		}
		return nil // it is no longer wanted
	}
	if err != nil {
		p.closeEndpoint(e)
		return err
	}
	if old := r.current; old != nil {
		p.closeEndpoint(old)
	}
	r.current, p.silent = e, false
	if e.state == ended {
		p.retry(e)
	}
	return nil
}

// serves tells whether an endpoint is registered with a kubelet.
func (e *endpoint) serves(kubelet kubeletID) bool {
	return e != nil && e.kubelet == kubelet && e.state == streaming
}

// retry queues a resource to be registered again. The caller holds mu.
func (p *Plugin) retry(e *endpoint) {
	if p.endpoints[e.path] == e { // else it is no longer wanted
		p.queue.AddAfter(e.resource.name, firstRetryDelay)
	}
}

func listen(path string) (net.Listener, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// register tells the kubelet of an endpoint.
func (p *Plugin) register(e *endpoint) error {
	conn, err := p.dial(e.kubelet)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, registerTimeout)
	defer cancel()
	_, err = pluginapi.NewRegistrationClient(conn).Register(ctx, &pluginapi.RegisterRequest{
		Version:      pluginapi.Version,
		Endpoint:     filepath.Base(e.path),
		ResourceName: e.resource.name,
		Options:      &pluginapi.DevicePluginOptions{GetPreferredAllocationAvailable: true},
	})
	return err
}

// dial returns the connection to a kubelet. All registrations share it, and it
// closes when it is not used.
func (p *Plugin) dial(kubelet kubeletID) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && p.connTo == kubelet {
		return p.conn, nil
	}
	conn, err := grpc.NewClient("unix://"+filepath.Join(p.dir, kubeletSocket),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithIdleTimeout(time.Minute),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRetryDelay, Multiplier: 2, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	)
	if err != nil {
		return nil, err
	}
	p.hangUp()
	p.conn, p.connTo = conn, kubelet
	return conn, nil
}

// hangUp closes the connection to the kubelet. The caller holds mu.
func (p *Plugin) hangUp() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

func awaitStream(e *endpoint) error {
	timer := time.NewTimer(streamTimeout)
	defer timer.Stop()
	select {
	case <-e.started:
	case <-e.ctx.Done():
		return e.ctx.Err()
	case <-timer.C:
		return fmt.Errorf("the kubelet took the registration but did not ask for the list within %v", streamTimeout)
	}
	return nil
}

// closeEndpoint gives an endpoint up. The caller holds mu.
func (p *Plugin) closeEndpoint(e *endpoint) {
	e.cancel()
	e.listener.Close()
	delete(p.endpoints, e.path)
}

// names returns the names of all resources. The caller holds mu.
func (p *Plugin) names() []string {
	names := make([]string, 0, len(p.resources))
	for name := range p.resources {
		names = append(names, name)
	}
	return names
}
