package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/coder/websocket"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/shorten"
)

// Path is where cloudcore has its WebSocket.
const Path = "/v1/link"

const (
	firstRetry = time.Second
	maxRetry   = time.Minute
	// jitter is the random part of a delay.
	jitter = 0.5
	// steadyAfter is how long a session must have lived for the next delay to be
	// the first again: else two edge nodes with one name would replace each
	// other every second.
	steadyAfter = time.Minute
	// dialTimeout bounds everything until cloudcore's Hello.
	dialTimeout = 45 * time.Second
	// connectTimeout bounds the TCP connection. While nobody answers, TCP asks again
	// later and later; so a new attempt is made.
	connectTimeout = 10 * time.Second
	// maxUnreachedDelay is how long the link waits at most after attempts that nobody
	// answered. They cost cloudcore nothing, and who mends a link waits for it.
	maxUnreachedDelay = 5 * time.Second
	// cloudcore's ping interval is within these.
	minPingInterval = 100 * time.Millisecond
	maxPingInterval = 5 * time.Minute
	maxErrorBytes   = 300
)

// Handler is what uses the link. Its methods are called one at a time.
type Handler interface {
	// Connected is called after both Hellos. ctx is the session's. send waits
	// while what is to be sent has no room, and fails when the session has
	// ended. Messages are read when Connected has returned.
	Connected(ctx context.Context, peer edgev1.Hello, send func(context.Context, edgev1.Message) error)
	// Receive takes the next message. It must not wait for long: nothing is read
	// meanwhile. To wait for send is for a goroutine of its own.
	Receive(edgev1.Message)
	// Disconnected is called at the end of each session of which Connected was
	// called.
	Disconnected(err error)
}

// Options are for [Run].
type Options struct {
	// Address is cloudcore's host and port.
	Address string
	// TLS returns how to connect: the edge node's certificate, and cloudcore's
	// authorities. It is asked before each attempt, so that new certificates
	// count. The name for which cloudcore's certificate is checked, and the
	// version of TLS, are set here.
	TLS func() (*tls.Config, error)
	// Hello is what the edge node says of itself.
	Hello edgev1.Hello
	// Log gets a line when the link comes and goes, and when it cannot be made.
	Log *slog.Logger
	// Status, if not nil, is kept up to date.
	Status *Status

	// Session has the limits of sessions. Its PingInterval is cloudcore's, if
	// that says one.
	Session session.Options
	// Backoff has the delays between attempts; the zero value is 1 s to 1 min,
	// half of it random. After attempts that nobody answered it is 5 s at most.
	Backoff backoff.Backoff
	// DialTimeout bounds an attempt; 0 is 45 s.
	DialTimeout time.Duration
}

// Run keeps the link up until ctx is done, and returns nil then.
func Run(ctx context.Context, o Options, h Handler) error {
	if o.Backoff == (backoff.Backoff{}) {
		o.Backoff = backoff.Backoff{First: firstRetry, Max: maxRetry, Jitter: jitter}
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = dialTimeout
	}
	if o.Status == nil {
		o.Status = &Status{}
	}
	l := &link{Options: o, handler: h}
	failures := 0
	for {
		began := time.Now()
		connected, err := l.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		failures = nextFailures(failures, connected, time.Since(began))
		wait := delay(err, l.Backoff.Delay(failures)) + scatter(err, l.Backoff.Max)
		l.Status.failed(err, time.Now().Add(wait))
		l.say(connected, err, wait)
		if backoff.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// nextFailures counts the attempts in a row that failed, or soon ended.
func nextFailures(before int, connected bool, lived time.Duration) int {
	if connected && lived >= steadyAfter {
		return 1
	}
	return before + 1
}

// unreachedError is of an attempt that nobody answered, not even to refuse it.
type unreachedError struct{ error }

func (e unreachedError) Unwrap() error { return e.error }

// delay says when to connect again: what cloudcore wants counts, if it is
// longer.
func delay(err error, own time.Duration) time.Duration {
	if errors.As(err, new(unreachedError)) && own > maxUnreachedDelay {
		return backoff.Jitter(maxUnreachedDelay, jitter)
	}
	var bye *session.GoodbyeError
	if !errors.As(err, &bye) {
		return own
	}
	if bye.RetryAfter < 0 {
		return maxRefusedDelay // with this certificate it is of no use, but another may come
	}
	return max(own, min(bye.RetryAfter, maxRefusedDelay))
}

// maxScatter is how long a node waits more at most when cloudcore ends: all its
// nodes hear of that at once.
const maxScatter = 10 * time.Second

// scatter is a random part of a delay, and 0 if the node is alone with its error.
func scatter(err error, atMost time.Duration) time.Duration {
	var bye *session.GoodbyeError
	if !errors.As(err, &bye) || bye.Reason != edgev1.ReasonShuttingDown {
		return 0
	}
	return backoff.Jitter(min(maxScatter, atMost), 1)
}

// maxRefusedDelay is how long the link waits at most, whatever cloudcore says.
const maxRefusedDelay = 10 * time.Minute

type link struct {
	Options
	handler Handler
	said    string // the last error that was logged
}

// say logs why there is no link; the same reason once.
func (l *link) say(connected bool, err error, wait time.Duration) {
	text := shorten.Text(err.Error(), maxErrorBytes)
	level := slog.LevelDebug
	if connected || text != l.said {
		level = slog.LevelWarn
	}
	l.said = text
	l.Log.Log(context.Background(), level, "no link to cloudcore",
		"address", l.Address, "error", text, "next", wait.Round(100*time.Millisecond))
}

// once is one attempt and its session. connected says whether there was one.
func (l *link) once(ctx context.Context) (connected bool, err error) {
	dialling, cancel := context.WithTimeout(ctx, l.DialTimeout)
	defer cancel()
	s, err := l.dial(dialling)
	if err != nil {
		return false, explain(err)
	}
	defer s.Close(nil)
	stop := context.AfterFunc(dialling, func() { s.Close(errors.New("no Hello came from cloudcore")) })
	peer, err := l.hello(dialling, s)
	if !stop() || err != nil {
		return false, explain(errors.Join(err, ctx.Err()))
	}
	return true, explain(l.serve(ctx, s, peer))
}

// hello says Hello and hears cloudcore's.
func (l *link) hello(ctx context.Context, s *session.Session) (edgev1.Hello, error) {
	mine := l.Hello
	mine.Protocol = edgev1.Protocol
	if err := s.Send(ctx, &mine); err != nil {
		return edgev1.Hello{}, err
	}
	m, err := s.Read()
	if err != nil {
		return edgev1.Hello{}, err
	}
	peer, ok := m.(*edgev1.Hello)
	switch {
	case !ok:
		return edgev1.Hello{}, fmt.Errorf("cloudcore said %s before Hello", edgev1.KindOf(m))
	case peer.Protocol != edgev1.Protocol:
		return edgev1.Hello{}, fmt.Errorf("cloudcore speaks protocol %d, edgecore %d: one of them is too old",
			peer.Protocol, edgev1.Protocol)
	case peer.Node != mine.Node:
		return edgev1.Hello{}, fmt.Errorf("the certificate is that of node %q, and edgecore is configured as %q: join again",
			peer.Node, mine.Node)
	}
	return *peer, nil
}

// serve gives the handler what comes until the session ends.
func (l *link) serve(ctx context.Context, s *session.Session, peer edgev1.Hello) error {
	if peer.PingInterval > 0 {
		s.SetPingInterval(min(max(peer.PingInterval, minPingInterval), maxPingInterval))
	}
	of, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.Status.connected(s)
	l.said = ""
	l.Log.Info("linked with cloudcore", "address", l.Address, "version", peer.Version)
	leaving := context.AfterFunc(ctx, func() {
		s.Leave(edgev1.Goodbye{Reason: edgev1.ReasonShuttingDown, Message: "edgecore ends"})
	})
	defer leaving()
	l.handler.Connected(of, peer, s.Send)
	for {
		m, err := s.Read()
		if err != nil {
			cancel(err)
			l.handler.Disconnected(err)
			return err
		}
		l.handler.Receive(m)
	}
}

// dial opens the WebSocket.
func (l *link) dial(ctx context.Context) (*session.Session, error) {
	config, err := l.TLS()
	if err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	config = config.Clone()
	config.MinVersion, config.ServerName, config.NextProtos = tls.VersionTLS13, edgev1.ServerName, nil
	var conn *session.Conn
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, network, address)
			switch {
			case errors.Is(err, syscall.ECONNREFUSED):
				return nil, err
			case err != nil:
				return nil, unreachedError{err}
			}
			conn = session.NewConn(c, 0, 0, nil)
			return conn, nil
		},
		TLSHandshakeTimeout:    l.DialTimeout,
		ResponseHeaderTimeout:  l.DialTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		DisableKeepAlives:      true,
	}
	ws, response, err := websocket.Dial(ctx, "wss://"+l.Address+Path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	})
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("cloudcore answered %s: %w", response.Status, err)
		}
		return nil, err
	}
	return session.New(ws, conn, l.Session), nil
}
