// Package quietgrpc is a gRPC server for many connections that are mostly idle.
//
// The kubelet's device manager opens a connection per resource and keeps one
// call open on it, over which a list is sent now and then. With a thousand
// devices these are a thousand connections. google.golang.org/grpc needs four
// goroutines and about 36 KiB for each, more than the rest of the agent. Here a
// connection needs one goroutine, which reads; the goroutine that sends
// something also writes it. Frames and header compression are those of
// golang.org/x/net/http2; messages and service descriptions those of
// google.golang.org/grpc.
//
// It supports unary calls, and calls with one request and a stream of answers (a
// [Watch]). It does not support TLS, compression of messages, metadata and
// grpc-timeout: a client whose time is over cancels the call.
package quietgrpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/akri-go/akri/internal/backoff"
)

const (
	// maxStreams is how many calls a connection may have open.
	maxStreams = 16
	// maxMessageBytes bounds a request, and what may wait to be sent.
	maxMessageBytes = 4 << 20
	// prefaceTimeout bounds the time until a connection speaks HTTP/2, and
	// writeTimeout the time until a peer reads what was sent.
	prefaceTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second
)

// Server serves unary calls and watches. Register everything before Serve.
type Server struct {
	methods map[string]method
	watches map[string]func(*Watch) error

	mu        sync.Mutex
	stopped   bool
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	wg        sync.WaitGroup
}

type method struct {
	impl any
	call grpc.MethodHandler
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// New returns a Server without services.
func New() *Server {
	return &Server{
		methods:   make(map[string]method),
		watches:   make(map[string]func(*Watch) error),
		listeners: make(map[net.Listener]bool),
		conns:     make(map[*conn]bool),
	}
}

// RegisterService registers the unary methods of a service. Their context has the
// [peer.Peer] and is done when the call was canceled.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		s.methods["/"+desc.ServiceName+"/"+m.MethodName] = method{impl, m.Handler}
	}
}

// RegisterWatch registers a method with a stream of answers by its full name,
// "/<service>/<method>". start is called for each call and must return soon; an
// error ends the call. It does not get the request.
func (s *Server) RegisterWatch(name string, start func(*Watch) error) { s.watches[name] = start }

// Serve accepts connections until the listener is closed. The connections stay
// open.
func (s *Server) Serve(listener net.Listener) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		listener.Close()
		return net.ErrClosed
	}
	s.listeners[listener] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, listener)
		s.mu.Unlock()
	}()
	retry := backoff.Backoff{First: 5 * time.Millisecond, Max: time.Second}
	for failures := 0; ; {
		accepted, err := listener.Accept()
		if err == nil {
			failures = 0
			s.start(accepted)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Such as too many open files.
		failures++
		time.Sleep(retry.Delay(failures))
	}
}

// start serves a connection.
func (s *Server) start(accepted net.Conn) {
	c := newConn(s, accepted)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		accepted.Close()
		return
	}
	s.conns[c] = true
	s.wg.Go(func() {
		c.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
}

// Stop closes all listeners and connections, and waits until all calls have
// returned.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopped = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.net.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Watch is a call with a stream of answers.
type Watch struct {
	stream *stream
	// LocalAddr is where the call arrived.
	LocalAddr net.Addr
	// OnEnd, if start sets it, is called once after the call has ended, unless
	// start returned an error. It must return soon.
	OnEnd func()
}

// Context is done when the call has ended.
func (w *Watch) Context() context.Context { return w.stream.ctx }
