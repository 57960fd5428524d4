package cloudhub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/shorten"
)

// Controller decides what is said in sessions.
type Controller interface {
	// Open begins a session of a node; the hub has verified its certificate. ctx
	// ends with the session. send waits while what is to be sent has no room.
	// Messages are read when Open has returned.
	Open(ctx context.Context, node string, hello edgev1.Hello, send func(context.Context, edgev1.Message) error) Session
}

// Session is the controller's part of a session. The methods are called one at
// a time.
type Session interface {
	// Receive takes the next message. It must not wait for long: nothing is read
	// meanwhile. To wait for send is for a goroutine of its own.
	Receive(edgev1.Message)
	// Close is called once, when the session has ended.
	Close()
}

// Authority says which certificates are good.
type Authority interface {
	// ServerTLS returns cloudcore's certificate (Certificates) and the
	// authorities of edge nodes (ClientCAs). It is asked for each connection, so
	// that new ones count.
	ServerTLS() (*tls.Config, error)
	// Revoked reports whether a certificate of a node is no longer good, although
	// it has not expired.
	Revoked(node string, c *x509.Certificate) bool
}

// Limits are what edge nodes can cost. The zero value has the defaults.
type Limits struct {
	// Sessions is how many nodes may be connected; 0 is 20,000.
	Sessions int
	// Handshakes are the connections that have not said Hello; 0 is 2,048. One
	// address may have HandshakesPerAddress, 0 is half of them: many nodes may
	// come from behind one.
	Handshakes, HandshakesPerAddress int
	// HandshakeTimeout is how long they have for it; 0 is 30 s: of thousands that
	// connect at once, the last ones wait for the CPU.
	HandshakeTimeout time.Duration
	// BytesPerSecond is how fast a node is read, TLS included; 0 is 4 MiB/s. It
	// may send twice as much at once.
	BytesPerSecond int
	// FramesPerSecond is the same in frames; 0 is 200. It may send ten times as
	// many at once.
	FramesPerSecond int
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	set(&l.Sessions, 20_000)
	set(&l.Handshakes, 2048)
	set(&l.HandshakesPerAddress, max(1, l.Handshakes/2))
	set(&l.BytesPerSecond, 4<<20)
	set(&l.FramesPerSecond, 200)
	if l.HandshakeTimeout <= 0 {
		l.HandshakeTimeout = 30 * time.Second
	}
	return l
}

// Options are for [New].
type Options struct {
	Authority  Authority
	Controller Controller
	// Twins, if not nil, is called when a machine has taken a node's session over
	// from another one, with their addresses. It must not wait.
	Twins func(node, address, before string)
	// Version is cloudcore's, for people.
	Version string
	Limits  Limits
	// Session has the limits of sessions: PingInterval, which edge nodes are told
	// too, Timeout and MaxMessageBytes.
	Session session.Options
	// Registerer, if not nil, gets the hub's metrics.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

const (
	// sweepInterval is how often sessions are looked at whose certificates may no
	// longer be good.
	sweepInterval = 5 * time.Second
	// replacedRetry is when a node may connect again whose session another
	// connection has taken over. A node that has lost a connection does not hear
	// of it; two nodes with one name take turns this often.
	replacedRetry = time.Minute
	busyRetry     = 30 * time.Second
	// replacedWait is how long a new connection of a node waits for the one
	// before to hear that it is replaced.
	replacedWait = time.Second
	maxHeader    = 8 << 10
)

// Hub has the sessions.
type Hub struct {
	Options
	metrics *metrics
	sparing logging.Sparing // lines that strangers cause
	running sync.WaitGroup  // sessions
	every   time.Duration   // the interval of sweeps
	totals  session.Totals
	shared  atomic.Pointer[sharedConfig]

	mu       sync.Mutex
	sessions map[string]*member // by node
	stopped  bool
}

// New returns a hub.
func New(o Options) (*Hub, error) {
	o.Limits = o.Limits.withDefaults()
	if o.Session.PingInterval <= 0 {
		o.Session.PingInterval = session.PingInterval
	}
	h := &Hub{Options: o, sessions: map[string]*member{}, every: sweepInterval}
	var err error
	if h.metrics, err = newMetrics(o.Registerer, h.Len, &h.totals); err != nil {
		return nil, err
	}
	h.Session.FramesPerSecond, h.Session.FrameBurst = o.Limits.FramesPerSecond, 10*o.Limits.FramesPerSecond
	h.Session.Sent, h.Session.Received, h.Session.Slowed = h.metrics.sent, h.metrics.received, h.metrics.slowed
	return h, nil
}

// Listen listens on a TCP address, within the hub's limits.
func (h *Hub) Listen(ctx context.Context, address string) (*bounded.Listener, error) {
	return bounded.Listen(ctx, address, bounded.Limits{
		Connections: h.Limits.Handshakes, PerPeer: h.Limits.HandshakesPerAddress,
	})
}

// Serve serves on a listener of [Hub.Listen] until ctx is done. Then it says
// Goodbye to all nodes, and returns when their sessions have ended.
func (h *Hub) Serve(ctx context.Context, l *bounded.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/link", func(w http.ResponseWriter, r *http.Request) { h.accept(ctx, l, w, r) })
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: h.Limits.HandshakeTimeout, // that of the TLS handshake, too
		ReadTimeout:       h.Limits.HandshakeTimeout,
		WriteTimeout:      h.Limits.HandshakeTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(handshakes{h}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	bounded.Bound(l, server)
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return h.config() },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(tls.NewListener(&metered{l, h}, config)) }()
	sweeping, stop := context.WithCancel(ctx)
	defer stop()
	h.running.Go(func() { h.sweep(sweeping) })
	var err error
	select {
	case err = <-served: // the listener broke
	case <-ctx.Done():
		server.Close()
		<-served
	}
	stop()
	h.leaveAll()
	h.running.Wait()
	return err
}

type connKey struct{}

// handshakes gets what the server says of connections that were not made, such
// as those with certificates of others.
type handshakes struct{ h *Hub }

func (s handshakes) Write(line []byte) (int, error) {
	s.h.metrics.refused("Handshake")
	text := shorten.Text(strings.TrimSpace(string(line)), maxTextBytes)
	s.h.sparing.Log(s.h.Log, slog.LevelInfo, "refused a connection", "error", text)
	return len(line), nil
}

// config is how a connection is made now. Connections keep it, so they share
// it as long as the authority's is the same.
func (h *Hub) config() (*tls.Config, error) {
	of, err := h.Authority.ServerTLS()
	if err != nil {
		return nil, err
	}
	if c := h.shared.Load(); c != nil && c.of == of {
		return c.config, nil
	}
	c := of.Clone()
	c.MinVersion, c.ClientAuth = tls.VersionTLS13, tls.RequireAndVerifyClientCert
	// A session that is resumed would be one whose certificate nobody looks at
	// again.
	c.SessionTicketsDisabled = true
	h.shared.Store(&sharedConfig{of, c})
	return c, nil
}

type sharedConfig struct{ of, config *tls.Config }

// metered counts and slows what comes on connections.
type metered struct {
	net.Listener
	hub *Hub
}

func (m *metered) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	perSecond := m.hub.Limits.BytesPerSecond
	return session.NewConn(c, perSecond, 2*perSecond, &m.hub.totals), nil
}

// sweep ends sessions whose certificates are no longer good, until ctx is done.
func (h *Hub) sweep(ctx context.Context) {
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, m := range h.members() {
				if bye, bad := h.judge(now, m.node, m.cert); bad {
					m.leave(bye)
				}
			}
		}
	}
}

// judge says whether a node may have a session, and if not, what it is told.
func (h *Hub) judge(now time.Time, node string, c *x509.Certificate) (edgev1.Goodbye, bool) {
	switch {
	case h.Authority.Revoked(node, c):
		return edgev1.Goodbye{Reason: edgev1.ReasonNodeReset, RetryAfter: -1,
			Message: "the node was reset: join it again with a new token"}, true
	case !now.Before(c.NotAfter):
		return edgev1.Goodbye{Reason: edgev1.ReasonExpired, Message: "the certificate has expired"}, true
	}
	return edgev1.Goodbye{}, false
}

// leaveAll ends all sessions, and those that begin later.
func (h *Hub) leaveAll() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	for _, m := range h.members() {
		m.leave(edgev1.Goodbye{Reason: edgev1.ReasonShuttingDown, Message: "this cloudcore ends"})
	}
}

// members returns those that have a session now.
func (h *Hub) members() []*member {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*member, 0, len(h.sessions))
	for _, m := range h.sessions {
		out = append(out, m)
	}
	return out
}

// Len returns how many nodes have a session.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// Disconnect ends a node's session, if it has one here; retryAfter is when it
// may connect again.
func (h *Hub) Disconnect(node, reason, message string, retryAfter time.Duration) bool {
	h.mu.Lock()
	m := h.sessions[node]
	h.mu.Unlock()
	if m == nil {
		return false
	}
	m.leave(edgev1.Goodbye{Reason: reason, Message: message, RetryAfter: retryAfter})
	return true
}

var errStopped = errors.New("cloudcore ends")
