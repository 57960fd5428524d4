package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/session/sessiontest"
	"github.com/akri-go/akri/internal/testlog"
)

func TestDelay(t *testing.T) {
	bye := func(after time.Duration) error {
		return fmt.Errorf("x: %w", &session.GoodbyeError{Goodbye: edgev1.Goodbye{RetryAfter: after}})
	}
	for _, tt := range []struct {
		name      string
		err       error
		own, want time.Duration
	}{
		{"an error", errors.New("x"), 3 * time.Second, 3 * time.Second},
		{"Goodbye, at any time", bye(0), 3 * time.Second, 3 * time.Second},
		{"Goodbye, sooner", bye(time.Second), 3 * time.Second, 3 * time.Second},
		{"Goodbye, later", bye(time.Minute), 3 * time.Second, time.Minute},
		{"Goodbye, in a year", bye(9000 * time.Hour), 3 * time.Second, maxRefusedDelay},
		{"Goodbye for ever", bye(-1), 3 * time.Second, maxRefusedDelay},
		{"nobody answered, for the first time", fmt.Errorf("x: %w", unreachedError{errors.New("timeout")}), time.Second, time.Second},
	} {
		if got := delay(tt.err, tt.own); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for range 100 {
		unreached := fmt.Errorf("x: %w", unreachedError{errors.New("timeout")})
		if got := delay(unreached, time.Minute); got > maxUnreachedDelay || got < maxUnreachedDelay/2 {
			t.Errorf("after attempts that nobody answered: %s", got)
		}
		leaving := &session.GoodbyeError{Goodbye: edgev1.Goodbye{Reason: edgev1.ReasonShuttingDown}}
		if got := scatter(leaving, time.Minute); got < 0 || got > maxScatter {
			t.Errorf("scattered by %s", got)
		}
		if got := scatter(leaving, time.Second); got > time.Second {
			t.Errorf("scattered by %s", got)
		}
	}
	if got := scatter(bye(time.Minute), time.Minute); got != 0 {
		t.Errorf("another Goodbye is scattered by %s", got)
	}
	for _, tt := range []struct {
		before    int
		connected bool
		lived     time.Duration
		want      int
	}{
		{0, false, time.Second, 1}, {5, false, time.Hour, 6}, {5, true, time.Second, 6}, {5, true, steadyAfter, 1},
	} {
		if got := nextFailures(tt.before, tt.connected, tt.lived); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// Who answers that nobody listens is there, and who is not there is not.
func TestUnreached(t *testing.T) {
	for address, want := range map[string]bool{
		freeport.Address(t):     false,
		"255.255.255.255:10000": true, // the kernel sends nothing there
	} {
		l := &link{Options: Options{Address: address, DialTimeout: time.Minute, TLS: func() (*tls.Config, error) { return &tls.Config{}, nil }}}
		_, err := l.once(t.Context())
		if got := errors.As(err, new(unreachedError)); err == nil || got != want {
			t.Errorf("%s: unreached %v, want %v: %v", address, got, want, err)
		}
	}
}

// handler notes what it is told, and greets with a Forget.
type handler struct {
	mu     sync.Mutex
	events []string
	ended  chan error
}

func (h *handler) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, text)
}

func (h *handler) seen() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.events, " ")
}

func (h *handler) Connected(ctx context.Context, peer edgev1.Hello, send func(context.Context, edgev1.Message) error) {
	h.note("+" + peer.Version)
	if err := send(ctx, &edgev1.Forget{ID: 1}); err != nil {
		h.note(err.Error())
	}
}

func (h *handler) Receive(m edgev1.Message) { h.note(edgev1.KindOf(m).String()) }

func (h *handler) Disconnected(err error) {
	h.note("-")
	select {
	case h.ended <- err:
	default:
	}
}

type fixture struct {
	*handler
	status *Status
	log    *testlog.Buffer
}

// run runs the link to a pretended cloudcore until the test ends. cloud has each
// connection.
func run(t *testing.T, change func(*Options), cloud func(n int, s *session.Session)) *fixture {
	t.Helper()
	leaktest.Check(t)
	a := sessiontest.NewAuthority(t)
	f := &fixture{handler: &handler{ended: make(chan error, 1)}, status: &Status{}, log: &testlog.Buffer{}}
	var mu sync.Mutex
	n := 0
	address := sessiontest.Serve(t, a, func(ws *websocket.Conn, c *session.Conn) {
		mu.Lock()
		n++
		now := n
		mu.Unlock()
		s := session.New(ws, c, session.Options{PingInterval: 20 * time.Millisecond, LeaveTimeout: eventually.Patience})
		cloud(now, s)
		s.Close(nil)
	})
	node := a.Node(t, "system:node:edge-1", time.Now().Add(time.Hour))
	o := Options{
		Address: address, TLS: func() (*tls.Config, error) { return node, nil }, Hello: edgev1.Hello{Node: "edge-1", Store: "s"},
		Log: slog.New(slog.NewTextHandler(f.log, nil)), Status: f.status,
		Backoff: backoff.Backoff{First: time.Millisecond, Max: 10 * time.Millisecond},
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o, f.handler) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// welcome answers the edge node's Hello.
func welcome(t *testing.T, s *session.Session, version string) {
	m, err := s.Read()
	if err != nil {
		return
	}
	if hello, ok := m.(*edgev1.Hello); !ok || hello.Node != "edge-1" || hello.Store != "s" || hello.Protocol != edgev1.Protocol {
		t.Errorf("edgecore says %+v", m)
	}
	_ = s.Send(t.Context(), &edgev1.Hello{Protocol: edgev1.Protocol, Version: version, Node: "edge-1", PingInterval: time.Minute})
}

func (f *fixture) until(t *testing.T, what string, is func(Snapshot, string) bool) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s, seen := f.status.Snapshot(), f.seen(); !is(s, seen) {
			return fmt.Errorf("not %s: %+v, %s", what, s, seen)
		}
		return nil
	})
}

// The link comes again, whatever ends it, and the handler sees one session after
// another.
func TestReconnects(t *testing.T) {
	f := run(t, nil, func(n int, s *session.Session) {
		switch n {
		case 1: // it is closed before Hello
			return
		case 2: // and after
			welcome(t, s, "b")
			_, _ = s.Read()
			return
		case 3:
			welcome(t, s, "c")
			_, _ = s.Read() // Goodbye would pass Hello
			s.Leave(edgev1.Goodbye{Reason: edgev1.ReasonShuttingDown, Message: "for a test"})
		default:
			welcome(t, s, "d")
			_ = s.Send(t.Context(), &edgev1.Synced{ID: 1})
		}
		for {
			if _, err := s.Read(); err != nil {
				return
			}
		}
	})
	f.until(t, "in its third session", func(s Snapshot, seen string) bool { return seen == "+b - +c - +d Synced" })
	s := f.status.Snapshot()
	if s.Sessions != 3 || s.Since.IsZero() || s.LastContact.IsZero() || !s.NextTry.IsZero() || s.Received == 0 || s.Sent == 0 ||
		!strings.Contains(s.LastError, "ShuttingDown: for a test") {
		t.Errorf("%+v", s)
	}
	if log := f.log.String(); strings.Count(log, "linked with cloudcore") != 3 {
		t.Error(log)
	}
}

// A cloudcore that neither answers nor reads is noticed.
func TestHalfOpen(t *testing.T) {
	f := run(t, func(o *Options) {
		o.Session = session.Options{Timeout: 300 * time.Millisecond}
	}, func(n int, s *session.Session) {
		welcome(t, s, fmt.Sprint(n))
		if n == 1 {
			s.SetPingInterval(time.Hour)
			<-t.Context().Done() // nobody reads, so pings are not answered
			return
		}
		for {
			if _, err := s.Read(); err != nil {
				return
			}
		}
	})
	if err := <-f.ended; !session.IsTimeout(err) {
		t.Errorf("it ended with %v", err)
	}
	f.until(t, "linked again", func(s Snapshot, seen string) bool { return strings.HasPrefix(seen, "+1 - +2") && !s.Since.IsZero() })
}

// What cannot work says what to do, in the log once.
func TestTold(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		change func(*Options)
		cloud  edgev1.Message
		want   string
	}{
		"another cloudcore": {change: func(o *Options) {
			c := sessiontest.NewAuthority(t).Node(t, "system:node:edge-1", hour)
			o.TLS = func() (*tls.Config, error) { return c, nil }
		}, want: "join again with a new token"},
		"no certificate": {change: func(o *Options) {
			o.TLS = func() (*tls.Config, error) { return nil, errors.New("no such file") }
		}, want: "read the certificates: no such file"},
		"nobody there": {change: func(o *Options) { o.Address = "127.0.0.1:1" }, want: "connection refused"},
		"expired": {change: func(o *Options) {
			c, err := o.TLS()
			o.TLS = func() (*tls.Config, error) {
				c = c.Clone()
				c.VerifyConnection = func(tls.ConnectionState) error { return x509.CertificateInvalidError{Reason: x509.Expired} }
				return c, err
			}
		}, want: "look at this node's clock"},
		"protocol": {cloud: &edgev1.Hello{Protocol: 9, Node: "edge-1"}, want: "protocol 9"},
		"node":     {cloud: &edgev1.Hello{Protocol: edgev1.Protocol, Node: "edge-2"}, want: `the certificate is that of node "edge-2"`},
		"no Hello": {cloud: &edgev1.Forget{}, want: "Forget before Hello"},
		"silence": {change: func(o *Options) { o.DialTimeout = time.Second },
			cloud: &edgev1.Pong{}, want: "no Hello came"},
	} {
		t.Run(name, func(t *testing.T) {
			f := run(t, tt.change, func(_ int, s *session.Session) {
				if _, err := s.Read(); err != nil || tt.cloud == nil {
					return
				}
				_ = s.Send(t.Context(), tt.cloud)
				_, _ = s.Read()
			})
			f.until(t, "an error", func(s Snapshot, _ string) bool { return strings.Contains(s.LastError, tt.want) })
			if s := f.status.Snapshot(); s.Sessions != 0 || !s.Since.IsZero() || s.NextTry.IsZero() {
				t.Errorf("%+v", s)
			}
			if seen := f.seen(); seen != "" {
				t.Errorf("the handler saw %s", seen)
			}
		})
	}
}

// A node whose own certificate has expired is told by cloudcore, and says what to
// do.
func TestExpired(t *testing.T) {
	leaktest.Check(t)
	a := sessiontest.NewAuthority(t)
	address := sessiontest.Serve(t, a, func(*websocket.Conn, *session.Conn) { t.Error("it is let in") })
	old := a.Node(t, "system:node:edge-1", time.Now().Add(-time.Minute))
	l := &link{Options: Options{Address: address, TLS: func() (*tls.Config, error) { return old, nil }, DialTimeout: eventually.Patience}}
	if _, err := l.once(t.Context()); err == nil || !strings.Contains(err.Error(), "this node's certificate has expired, join again") {
		t.Errorf("it says %v", err)
	}
}

// What goes on failing is logged once.
func TestLoggedOnce(t *testing.T) {
	f := run(t, func(o *Options) { o.Address = "127.0.0.1:1" }, nil)
	var first time.Time
	f.until(t, "a first error", func(s Snapshot, _ string) bool { first = s.LastErrorAt; return !first.IsZero() })
	f.until(t, "another", func(s Snapshot, _ string) bool { return s.LastErrorAt.After(first) })
	if n := strings.Count(f.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d lines:\n%s", n, f.log)
	}
}
