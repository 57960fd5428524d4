package discovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/unixsock"
)

const (
	firstPause      = 100 * time.Millisecond
	longestPause    = 10 * time.Second
	registerTimeout = 10 * time.Second
)

// Serve answers the questions of the node's agent with h, until ctx is done;
// then it returns nil, when all calls of h have returned.
//
// It listens on the socket <directory>/<name>.sock, or on an IP address (see
// [WithAddress]), and registers h on the agent's socket
// <directory>/agent-registration.sock. While no agent is there it tries again,
// at the latest after 10 s, and at once when the agent's socket appears. It
// registers again when the agent has restarted or has dropped a question.
//
// While the directory may not be written it waits: an agent that comes up gives
// it to the group that handlers are to be in.
//
// An error means that h cannot be served here: the name is unfit, the directory
// is missing, or another live process has the socket.
func Serve(ctx context.Context, h Handler, opts ...Option) error {
	s, err := newService(h, opts)
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := s.run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errSocketLost):
			s.log.Warn("the handler's socket was removed, making it again", "socket", s.socket)
			pause = firstPause
		case errors.Is(err, fs.ErrPermission):
			s.log.Warn("waiting until an agent gives the directory to a group of ours", "directory", s.directory, "error", err)
			s.awaitDirectory(ctx, pause)
		default:
			return fmt.Errorf("serve handler %s: %w", h.Name(), err)
		}
	}
}

// awaitDirectory returns when something has happened to the directory, at the
// latest after the pause.
func (s *service) awaitDirectory(ctx context.Context, pause time.Duration) {
	var events chan fsnotify.Event
	if watcher, err := fsnotify.NewWatcher(); err == nil {
		defer watcher.Close()
		if watcher.Add(s.directory) == nil {
			events = watcher.Events
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-events:
	case <-timer.C:
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
	again     chan struct{} // asks to register again
	on        func()        // the agent has accepted
}

// run listens and registers until ctx is done or something fails.
func (s *service) run(ctx context.Context) error {
	// The watch comes first, so that nothing happens unseen.
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", s.directory, err)
	}
	defer watcher.Close()
	if err := watcher.Add(s.directory); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("watch %s: %w: mount the agent's folder of the node there, or name another (DISCOVERY_HANDLERS_DIRECTORY)", s.directory, err)
		}
		return fmt.Errorf("watch %s: %w", s.directory, err)
	}
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
	group.Go(func() error { return s.follow(ctx, watcher, listener) })
	group.Go(func() error { // ends the others' work, so it is the last to end
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
func (s *service) follow(ctx context.Context, watcher *fsnotify.Watcher, listener net.Listener) error {
	agent := filepath.Join(s.directory, agentSocket)
	own, _ := listener.(*unixsock.Listener)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-watcher.Events:
			if event.Name == agent && event.Has(fsnotify.Create) {
				s.registerAgain()
			}
		case err := <-watcher.Errors:
			// Something may have been missed.
			s.log.Warn("watch of the directory", "error", err)
			s.registerAgain()
		}
		if own != nil && own.Lost() && ctx.Err() == nil {
			return errSocketLost
		}
	}
}

func (s *service) registerAgain() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// keepRegistered registers now and whenever it is asked to again. Only ctx ends
// it: an agent that refuses may be replaced by one that does not.
func (s *service) keepRegistered(ctx context.Context) error {
	pause := firstPause
	var told string
	for {
		err := s.register(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var retry <-chan time.Time
		if err == nil {
			s.log.Info("handler registered with the agent")
			s.on()
			pause, told = firstPause, ""
		} else {
			if text := err.Error(); text != told {
				s.log.Warn("handler not registered, trying again", "error", text)
				told = text
			}
			retry = time.After(pause)
			pause = min(2*pause, longestPause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.again:
			pause = firstPause
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
