package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/unixsock"
)

const (
	maxRegistrationBytes = 16 << 10 // bytes
	refusalInterval      = time.Minute
)

// Refusal tells of a registration that was refused.
type Refusal struct {
	// Handler and Endpoint are what the caller claimed, quoted and cut.
	Handler, Endpoint string
	// PID, UID and GID are the caller's; PID is 0 if it cannot be seen from
	// here.
	PID, UID, GID int
	// Reason is the kind of refusal, one of the constants.
	Reason string
	Err    error
	// Repeated means that a similar one was told less than a minute ago.
	Repeated bool
}

// Reasons of refusals.
const (
	NotPermitted = "NotPermitted" // the caller may not register
	Malformed    = "Malformed"    // the name or the address cannot be used
	Mixed        = "Mixed"        // others of the name differ in what is shared
	TooMany      = "TooMany"      // names or endpoints
)

var reasons = map[codes.Code]string{
	codes.PermissionDenied:   NotPermitted,
	codes.InvalidArgument:    Malformed,
	codes.FailedPrecondition: Mixed,
	codes.ResourceExhausted:  TooMany,
}

// socketRetry is how long the agent waits before it tries to make its socket
// again.
var socketRetry = backoff.Backoff{First: firstRetryDelay, Max: 2 * time.Second}

var (
	errSocketLost = errors.New("the agent's socket was removed")
	errNotYet     = errors.New("the socket is not made yet")
)

// serve takes registrations until ctx is done. Whatever goes wrong with the
// socket or its folder, it tries again: others can write in the folder, and
// what they do there must not end the agent.
func (r *Registry) serve(ctx context.Context) {
	for failures, told := 0, ""; ; {
		began := time.Now()
		err := r.serveOnce(ctx)
		r.notServing(err)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > socketRetry.Max {
			failures, told = 0, ""
		}
		failures++
		if text := err.Error(); text != told {
			told = text
			r.log.Warn("handlers cannot register; trying again", "directory", r.opts.Dir, "error", text)
		}
		if backoff.Sleep(ctx, socketRetry.Delay(failures)) != nil {
			return
		}
	}
}

// serveOnce makes the socket and takes registrations until the socket is lost.
func (r *Registry) serveOnce(ctx context.Context) error {
	if err := prepareDir(r.opts.Dir, r.opts.SocketGID); err != nil {
		return err
	}
	// An agent runs as root or as this process's user: a live socket of anybody
	// else is not an agent's.
	listener, err := unixsock.Take(filepath.Join(r.opts.Dir, Socket), 0o660, func(uid int) bool {
		return uid == 0 || uid == os.Geteuid()
	})
	if err != nil {
		return fmt.Errorf("listen for handlers: %w", err)
	}
	server := grpc.NewServer(
		grpc.Creds(peerCredentials{}),
		grpc.MaxRecvMsgSize(maxRegistrationBytes),
		grpc.MaxHeaderListSize(16<<10),
		grpc.MaxConcurrentStreams(8),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Second}),
		grpc.ReadBufferSize(4<<10), grpc.WriteBufferSize(4<<10),
		grpc.StaticStreamWindowSize(64<<10), grpc.StaticConnWindowSize(64<<10),
	)
	pb.RegisterRegistrationServer(server, &registrar{registry: r})
	group, ctx := errgroup.WithContext(ctx)
	r.notServing(nil)
	group.Go(func() error { return server.Serve(&limitedListener{Listener: listener}) })
	group.Go(func() error { return r.awaitLoss(ctx, listener) })
	group.Go(func() error {
		<-ctx.Done()
		server.Stop()
		return ctx.Err()
	})
	return group.Wait()
}

// notServing notes why handlers cannot register; nil means that they can.
func (r *Registry) notServing(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = why
}

// awaitLoss returns when ctx is done or the listener has lost its file.
func (r *Registry) awaitLoss(ctx context.Context, listener *unixsock.Listener) error {
	for !listener.Lost() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.touched:
		}
	}
	return errSocketLost
}

// registrar is the agent's side of the protocol.
type registrar struct {
	pb.UnimplementedRegistrationServer
	registry *Registry
	told     refusalFilter
}

func (g *registrar) RegisterDiscoveryHandler(ctx context.Context, m *pb.RegisterDiscoveryHandlerRequest) (*pb.Empty, error) {
	if g.registry.ending() {
		// A handler whose stream was dropped registers again. If this agent
		// accepted that, the handler would not register with the next agent.
		return nil, status.Error(codes.Unavailable, "the agent is ending: register with the next one")
	}
	who := caller(ctx)
	if err := g.registry.admit(who); err != nil {
		return nil, g.refuse(who, m, codes.PermissionDenied, err)
	}
	if name := m.GetName(); name == "" || len(name) > contract.MaxHandlerNameBytes || !contract.Printable(name) {
		return nil, g.refuse(who, m, codes.InvalidArgument,
			fmt.Errorf("name %s: want 1 to %d printable characters", contract.Show(name), contract.MaxHandlerNameBytes))
	}
	if err := admitName(who, m.GetName(), g.registry.opts.HandlerUIDs); err != nil {
		return nil, g.refuse(who, m, codes.PermissionDenied, err)
	}
	address, err := contract.ParseAddress(m.GetEndpointType(), m.GetEndpoint(), g.registry.opts.Dir)
	if err != nil {
		return nil, g.refuse(who, m, codes.InvalidArgument, err)
	}
	patience := networkGrace
	if address.Network == "unix" {
		patience = socketGrace
	}
	err = g.registry.add(&endpoint{
		name:   m.GetName(),
		id:     address.String(),
		shared: m.GetShared(),
		client: g.registry.remote(address),
		grace:  patience,
	})
	switch {
	case errors.Is(err, errMixed):
		return nil, g.refuse(who, m, codes.FailedPrecondition, err)
	case err != nil:
		return nil, g.refuse(who, m, codes.ResourceExhausted, err)
	}
	return &pb.Empty{}, nil
}

// refuse reports a refusal and returns the error to answer with.
func (g *registrar) refuse(who process, m *pb.RegisterDiscoveryHandlerRequest, code codes.Code, err error) error {
	refusal := Refusal{
		Handler: contract.Show(m.GetName()), Endpoint: contract.Show(m.GetEndpoint()),
		PID: who.pid, UID: who.uid, GID: who.gid, Reason: reasons[code], Err: err,
	}
	refusal.Repeated = !g.told.news(refusal)
	if !refusal.Repeated {
		g.registry.log.Warn("registration refused", "handler", refusal.Handler, "endpoint", refusal.Endpoint,
			"uid", who.uid, "gid", who.gid, "pid", who.pid, "error", err)
	}
	g.registry.opts.Refused(refusal)
	return status.Error(code, err.Error())
}

// refusalFilter lets each kind of refusal through once in refusalInterval.
type refusalFilter struct {
	mu   sync.Mutex
	last map[refusalKind]time.Time
}

type refusalKind struct {
	uid     int
	handler string
}

func (f *refusalFilter) news(r Refusal) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for kind, at := range f.last {
		if now.Sub(at) >= refusalInterval {
			delete(f.last, kind)
		}
	}
	kind := refusalKind{r.UID, r.Handler}
	if _, told := f.last[kind]; told || len(f.last) >= 64 {
		return false
	}
	if f.last == nil {
		f.last = make(map[refusalKind]time.Time)
	}
	f.last[kind] = now
	return true
}
