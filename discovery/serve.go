package discovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/dirwatch"
	"github.com/akri-go/akri/internal/unixsock"
)

const registerTimeout = 10 * time.Second

// retryBackoff is for attempts to make the socket, and to register.
var retryBackoff = backoff.Backoff{First: 100 * time.Millisecond, Max: 10 * time.Second}

// Serve answers the requests of the node's agent with h until ctx is done. It
// returns nil once all calls of h have returned.
//
// It listens on the socket <directory>/<name>.sock, or on an IP address (see
// [WithAddress]), and registers h on the agent's socket
// <directory>/agent-registration.sock. While there is no agent it tries again,
// after at most 10 s, and at once when the agent's socket appears. It registers
// again when the agent has restarted or has dropped a request.
//
// It waits for what others can mend: until an agent gives the directory to the
// handlers' group, until the agent has removed another user's dead socket that
// has the handler's name, and while another process answers at that socket. The
// log says what it waits for. [WithRegistered] tells when an agent has accepted
// the handler.
//
// An error means that h cannot be served: its name is not valid, or the
// directory is missing.
func Serve(ctx context.Context, h Handler, opts ...Option) error {
	s, err := newService(h, opts)
	if err != nil {
		return err
	}
	watcher := dirwatch.New(s.log, s.directory)
	defer watcher.Close()
	for failures, told := 0, ""; ; {
		began := time.Now()
		err := s.run(ctx, watcher)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > retryBackoff.Max {
			failures, told = 0, ""
		}
		failures++
		what, wait := waitFor(err)
		if !wait {
			return fmt.Errorf("serve handler %s: %w", h.Name(), err)
		}
		if text := err.Error(); text != told {
			told = text
			s.log.Warn(what, "directory", s.directory, "error", text)
		}
		s.await(ctx, watcher, retryBackoff.Delay(failures))
	}
}

// waitFor tells whether to try again, and what for.
func waitFor(err error) (what string, wait bool) {
	switch {
	case errors.Is(err, errSocketLost):
		return "the handler's socket was removed; making it again", true
	case errors.Is(err, unixsock.ErrInUse), errors.Is(err, syscall.EADDRINUSE):
		return "waiting while another process answers at this handler's address", true
	case errors.Is(err, unixsock.ErrInTheWay):
		return "waiting until the agent or its owner removes the file with this handler's name", true
	case errors.Is(err, fs.ErrPermission):
		return "waiting until an agent gives the directory to a group of this process", true
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.ENOMEM):
		return "waiting until the node has room for the handler's socket", true
	}
	return "", false
}

// await returns when the directory, or the file with the handler's name, may have
// changed, but at the latest after the pause.
func (s *service) await(ctx context.Context, watcher *dirwatch.Watcher, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-watcher.Changes():
			if c.Name == "" || c.Name == filepath.Base(s.socket) {
				return
			}
		case <-timer.C:
			return
		}
	}
}

var errSocketLost = errors.New("the handler's socket was removed")

// service is a handler that is being served.
type service struct {
	pb.UnimplementedDiscoveryHandlerServer

	handler   Handler
	log       *slog.Logger
	directory string
	socket    string // or
	address   string
	request   pb.RegisterDiscoveryHandlerRequest
	again     chan struct{} // holds one value when it is to register again
	on        func()        // called when an agent has accepted
}

// run listens and registers until ctx is done or something fails.
func (s *service) run(ctx context.Context, watcher *dirwatch.Watcher) error {
	if _, err := os.Stat(s.directory); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: mount the agent's folder there, or name another (DISCOVERY_HANDLERS_DIRECTORY)", err)
	}
	known := s.agent()
	listener, err := s.listen()
	if err != nil {
		return err
	}
	s.log.Info("handler listens", "endpoint", s.request.Endpoint)

	server := grpc.NewServer(
		grpc.WaitForHandlers(true),
		grpc.ConnectionTimeout(10*time.Second), grpc.MaxConcurrentStreams(1000), grpc.MaxHeaderListSize(16<<10),
		grpc.ReadBufferSize(4<<10), grpc.WriteBufferSize(8<<10),
		// Fixed windows: no HTTP/2 pings to measure the bandwidth.
		grpc.StaticStreamWindowSize(64<<10), grpc.StaticConnWindowSize(64<<10),
	)
	pb.RegisterDiscoveryHandlerServer(server, s)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(listener) })
	group.Go(func() error { return s.keepRegistered(ctx) })
	group.Go(func() error { return s.follow(ctx, watcher, known, listener) })
	group.Go(func() error { // ends the other goroutines
		<-ctx.Done()
		server.Stop()
		return ctx.Err()
	})
	return group.Wait()
}

func (s *service) listen() (net.Listener, error) {
	if s.socket != "" {
		listener, err := unixsock.Listen(s.socket, 0o660)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		s.request.EndpointType = pb.RegisterDiscoveryHandlerRequest_UDS
		s.request.Endpoint = s.socket
		return listener, nil
	}
	// Everybody on the network can reach it.
	listener, err := bounded.Listen(context.Background(), s.address, bounded.Limits{})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.request.EndpointType = pb.RegisterDiscoveryHandlerRequest_NETWORK
	s.request.Endpoint = "http://" + listener.Addr().String()
	return listener, nil
}

// follow watches the directory for the agent's socket and for the handler's own.
func (s *service) follow(ctx context.Context, watcher *dirwatch.Watcher, known fs.FileInfo, listener net.Listener) error {
	own, _ := listener.(*unixsock.Listener)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-watcher.Changes():
		}
		if now := s.agent(); now != nil && !sameFile(known, now) {
			known = now
			s.registerAgain()
		}
		if own != nil && own.Lost() && ctx.Err() == nil {
			return errSocketLost
		}
	}
}

// agent returns the agent's socket, nil if it is not there.
func (s *service) agent() fs.FileInfo {
	info, err := os.Lstat(filepath.Join(s.directory, agentSocket))
	if err != nil {
		return nil
	}
	return info
}

// sameFile tells whether a is b. Inode numbers are reused, so it also compares
// times.
func sameFile(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

func (s *service) registerAgain() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// keepRegistered registers, and registers again when it is told to. Only ctx ends
// it: an agent that refuses may be replaced by one that does not.
func (s *service) keepRegistered(ctx context.Context) error {
	failures, told := 0, ""
	for {
		err := s.register(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var retry <-chan time.Time
		if err == nil {
			s.log.Info("handler registered with the agent")
			s.on()
			failures, told = 0, ""
		} else {
			if text := err.Error(); text != told {
				s.log.Warn("handler not registered; trying again", "error", text)
				told = text
			}
			failures++
			retry = time.After(retryBackoff.Delay(failures))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.again:
			failures = 0
		case <-retry:
		}
	}
}

func (s *service) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	path := filepath.Join(s.directory, agentSocket)
	var dialed atomic.Pointer[error]
	conn, err := grpc.NewClient("passthrough:///localhost",
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
			if err != nil {
				dialed.Store(&err)
			}
			return conn, err
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = pb.NewRegistrationClient(conn).RegisterDiscoveryHandler(ctx, &s.request)
	if err == nil {
		return nil
	}
	if dialed := dialed.Load(); dialed != nil { // gRPC's text is long
		return fmt.Errorf("agent: %w", *dialed)
	}
	return fmt.Errorf("agent: %s", status.Convert(err).Message())
}
