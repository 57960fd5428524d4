package trial

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/internal/unixsock"
)

// player plays the agent that handlers register with.
type player struct {
	pb.UnimplementedRegistrationServer
	path   string
	server *grpc.Server // nil while the agent is away
	done   chan struct{}

	mu      sync.Mutex
	n       int // registrations so far
	last    *pb.RegisterDiscoveryHandlerRequest
	changed chan struct{} // closed at the next one
}

func newPlayer(directory string) *player {
	return &player{path: filepath.Join(directory, AgentSocket), changed: make(chan struct{})}
}

// listen makes the agent's socket.
func (p *player) listen() error {
	listener, err := unixsock.Listen(p.path, 0o660)
	if err != nil {
		return err
	}
	p.server = grpc.NewServer(grpc.MaxRecvMsgSize(16<<10), grpc.MaxHeaderListSize(16<<10),
		grpc.MaxConcurrentStreams(8))
	p.done = make(chan struct{})
	pb.RegisterRegistrationServer(p.server, p)
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener) // ends with stop
	}()
	return nil
}

// stop ends the agent and removes its socket.
func (p *player) stop() {
	if p.server == nil {
		return
	}
	p.server.Stop()
	<-p.done
	p.server = nil
}

// inUse tells whether an error of listen says that another agent is there, or
// that this process may not be one there.
func inUse(err error) bool {
	return errors.Is(err, unixsock.ErrInUse) || errors.Is(err, unixsock.ErrInTheWay) || errors.Is(err,
		fs.ErrPermission)
}

func (p *player) RegisterDiscoveryHandler(_ context.Context, m *pb.RegisterDiscoveryHandlerRequest) (*pb.Empty,
	error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	p.last = m
	close(p.changed)
	p.changed = make(chan struct{})
	return &pb.Empty{}, nil
}

// count is how many registrations there were.
func (p *player) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// after waits for a registration after the first n. It returns nil if there is
// none before ctx is done, or ended is closed.
func (p *player) after(ctx context.Context, n int, ended <-chan struct{}) *pb.RegisterDiscoveryHandlerRequest {
	for {
		p.mu.Lock()
		count, last, changed := p.n, p.last, p.changed
		p.mu.Unlock()
		if count > n {
			return last
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		}
	}
}
