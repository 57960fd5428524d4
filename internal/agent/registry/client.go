package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/discovery/wire"
	"github.com/akri-go/akri/internal/unixsock"
)

// client sends requests to an endpoint: over a connection, or to a handler in
// this process.
type client interface {
	// ask calls on for each report, or why it cannot be used, until ctx is done or
	// the answer ends. The error says why it ended and is never nil; it is
	// errTooLarge if a report has more than limit bytes on the wire.
	ask(ctx context.Context, req discovery.Request, limit int, on func(list, error)) error
	// check tells whether anybody answers.
	check(ctx context.Context) error
	close()
}

// list is a report that was checked as by [vet].
type list struct {
	devices  []discovery.Device
	departed []string // ids
	refused  error    // why devices were left out; nil if none was
}

// unreachable is an error of a connection that was not made.
type unreachable struct{ err error }

func (e unreachable) Error() string { return "cannot connect: " + e.err.Error() }
func (e unreachable) Unwrap() error { return e.err }

var errEnded = errors.New("the handler ended its answer without saying why")

// builtin is a handler in this process.
type builtin struct {
	handler discovery.Handler
	rules   contract.Rules
}

func (b builtin) ask(ctx context.Context, req discovery.Request, _ int, on func(list, error)) error {
	err := discovery.Ask(ctx, b.handler, req, func(r discovery.Report) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		good, refused, err := vet(b.rules, r.Devices)
		on(list{good, r.Departed, noted(refused, r.Note)}, err)
		return nil
	})
	if err == nil {
		err = errEnded
	}
	return err
}

func (builtin) check(context.Context) error { return nil }
func (builtin) close()                      {}

// remote is a handler behind an address. All its streams share a connection.
type remote struct {
	address contract.Address
	rules   contract.Rules
	// inTurn calls do while nobody else does, and returns when the observer has
	// the result: only one decoded report exists at a time.
	inTurn func(ctx context.Context, do func()) error

	mu     sync.Mutex
	conn   *grpc.ClientConn // nil until it is needed
	closed bool

	dialed atomic.Pointer[error] // of the last attempt to connect, if it failed
}

func (r *remote) ask(ctx context.Context, req discovery.Request, limit int, on func(list, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := r.connection()
	if err != nil {
		return err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, pb.DiscoveryHandler_Discover_FullMethodName,
		grpc.ForceCodecV2(contract.RawCodec{}), grpc.MaxCallRecvMsgSize(limit))
	if err != nil {
		return r.meaning(err)
	}
	// io.EOF says that the stream has failed; receiving tells why.
	if err := stream.SendMsg(wire.Request(req)); err != nil && err != io.EOF {
		return r.meaning(err)
	}
	if err := stream.CloseSend(); err != nil {
		return r.meaning(err)
	}
	for {
		var raw []byte
		if err := stream.RecvMsg(&raw); err != nil {
			return r.meaning(err)
		}
		if err := r.inTurn(ctx, func() { on(decode(r.rules, raw)) }); err != nil {
			return err
		}
	}
}

// meaning translates an error of gRPC.
func (r *remote) meaning(err error) error {
	if err == io.EOF {
		return errEnded
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.InvalidArgument:
		return discovery.Invalid("%s", contract.Words(s.Message()))
	case codes.ResourceExhausted:
		return errTooLarge
	case codes.Unimplemented:
		return fmt.Errorf("it does not speak the v0 discovery protocol: %s", contract.Words(s.Message()))
	case codes.Unavailable:
		if dialed := r.dialed.Load(); dialed != nil {
			return unreachable{*dialed}
		}
		if strings.HasPrefix(s.Message(), "error reading from server") { // gRPC's own words
			return errors.New("the connection was lost")
		}
	}
	return errors.New(contract.Words(s.Message()))
}

// connection returns one that is not known to be broken.
func (r *remote) connection() (*grpc.ClientConn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("the endpoint is no longer registered")
	}
	if r.conn != nil {
		if state := r.conn.GetState(); state != connectivity.TransientFailure && state != connectivity.Shutdown {
			return r.conn, nil
		}
		r.conn.Close() // gRPC would wait before it tries again; that is the stream's to decide
		r.conn = nil
	}
	conn, err := grpc.NewClient("passthrough:///handler",
		grpc.WithContextDialer(r.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(30*time.Second), // streams are not idle
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRetryDelay, Multiplier: 2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: connectTimeout,
		}),
		// With fixed windows gRPC sends no pings to measure the bandwidth.
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
	)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", r.address, err)
	}
	r.conn = conn
	return conn, nil
}

const connectTimeout = 10 * time.Second

// dial is the dialer of gRPC connections.
func (r *remote) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := connect(ctx, r.address)
	if err != nil {
		r.dialed.Store(&err)
		return nil, err
	}
	r.dialed.Store(nil)
	return conn, nil
}

func connect(ctx context.Context, a contract.Address) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: connectTimeout,
		// A peer that vanished is noticed after 30 s.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	if a.Network == "unix" {
		return unixsock.Dial(ctx, &dialer, a.Dir, a.Dial)
	}
	return dialer.DialContext(ctx, a.Network, a.Dial)
}

func (r *remote) check(ctx context.Context) error {
	conn, err := connect(ctx, r.address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.conn != nil {
		r.conn.Close()
	}
}
