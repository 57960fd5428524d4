package cloudhub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/session/sessiontest"
	"github.com/akri-go/akri/internal/testlog"
)

// controller says of each session when it begins and ends, and answers a Forget
// with a Synced of the same ID.
type controller struct {
	mu     sync.Mutex
	events []string
	sends  map[string]func(context.Context, edgev1.Message) error
}

func (c *controller) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, fmt.Sprintf(format, args...))
}

func (c *controller) seen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.events, " ")
}

func (c *controller) Open(ctx context.Context, node string, hello edgev1.Hello, send func(context.Context, edgev1.Message) error) Session {
	c.note("+%s/%s", node, hello.Store)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sends == nil {
		c.sends = map[string]func(context.Context, edgev1.Message) error{}
	}
	c.sends[node] = send
	return &controlled{c, ctx, node, hello.Store, send}
}

type controlled struct {
	of          *controller
	ctx         context.Context
	node, store string
	send        func(context.Context, edgev1.Message) error
}

func (s *controlled) Receive(m edgev1.Message) {
	if f, ok := m.(*edgev1.Forget); ok {
		_ = s.send(s.ctx, &edgev1.Synced{ID: f.ID})
	}
}

func (s *controlled) Close() {
	if s.ctx.Err() == nil {
		s.of.note("!%s", s.node)
	}
	s.of.note("-%s/%s", s.node, s.store)
}

type fixture struct {
	*Hub
	controller *controller
	authority  *sessiontest.Authority
	url        string
	log        *testlog.Buffer
	metrics    *prometheus.Registry
	stop       func()
}

// start serves a hub until the test ends.
func start(t *testing.T, limits Limits, o session.Options) *fixture {
	t.Helper()
	leaktest.Check(t)
	f := &fixture{controller: &controller{}, authority: sessiontest.NewAuthority(t), log: &testlog.Buffer{}, metrics: prometheus.NewRegistry()}
	var err error
	f.Hub, err = New(Options{Authority: f.authority, Controller: f.controller, Version: "v-test", Limits: limits, Session: o,
		Registerer: f.metrics, Log: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.every = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	l, err := f.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "wss://" + l.Addr().String() + "/v1/link"
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, l) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.stop)
	return f
}

// dial connects and says Hello; it does not wait for an answer.
func (f *fixture) dial(t *testing.T, node, store string) *session.Session {
	t.Helper()
	ws, conn, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix+node, time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	s := session.New(ws, conn, session.Options{})
	t.Cleanup(func() { s.Close(nil) })
	if err := s.Send(t.Context(), &edgev1.Hello{Protocol: edgev1.Protocol, Node: node, Store: store}); err != nil {
		t.Fatal(err)
	}
	return s
}

// connect is dial, and hears cloudcore's Hello.
func (f *fixture) connect(t *testing.T, node, store string) *session.Session {
	t.Helper()
	s := f.dial(t, node, store)
	m, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	if hello, ok := m.(*edgev1.Hello); !ok || hello.Node != node || hello.Version != "v-test" || hello.PingInterval != f.Session.PingInterval {
		t.Fatalf("cloudcore says %+v", m)
	}
	return s
}

// ask waits for the controller's answer.
func ask(t *testing.T, s *session.Session) {
	t.Helper()
	if err := s.Send(t.Context(), &edgev1.Forget{ID: 7}); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Read(); err != nil || m.(*edgev1.Synced).ID != 7 {
		t.Fatalf("%v, %v", m, err)
	}
}

// goodbye waits for a Goodbye.
func goodbye(t *testing.T, s *session.Session) edgev1.Goodbye {
	t.Helper()
	for {
		_, err := s.Read()
		var bye *session.GoodbyeError
		if errors.As(err, &bye) {
			return bye.Goodbye
		}
		if err != nil {
			t.Error(err)
			return edgev1.Goodbye{}
		}
	}
}

// until waits until the controller has seen all that.
func (f *fixture) until(t *testing.T, want string) {
	t.Helper()
	eventually.Succeeds(t, 20*time.Second, func(context.Context) error {
		if got := f.controller.seen(); got != want {
			return fmt.Errorf("the controller saw %q, want %q", got, want)
		}
		return nil
	})
}

// counted waits until a metric has a value; label is that of the one series.
func (f *fixture) counted(t *testing.T, name, label string, want float64) {
	t.Helper()
	eventually.Succeeds(t, 20*time.Second, func(context.Context) error {
		families, err := f.metrics.Gather()
		if err != nil {
			return err
		}
		got := 0.0
		for _, family := range families {
			for _, m := range family.GetMetric() {
				labels := m.GetLabel()
				if family.GetName() == name && (label == "" || len(labels) > 0 && labels[len(labels)-1].GetValue() == label) {
					got += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		if got != want {
			return fmt.Errorf("%s{%s} is %v, want %v", name, label, got, want)
		}
		return nil
	})
}

func TestSession(t *testing.T) {
	f := start(t, Limits{}, session.Options{PingInterval: time.Minute})
	s := f.connect(t, "edge-1", "s")
	ask(t, s)
	other := f.connect(t, "edge-2", "s")
	f.counted(t, "cloudhub_sessions", "", 2)
	f.counted(t, "cloudhub_messages_total", "Synced", 1)
	s.Close(nil)
	f.until(t, "+edge-1/s +edge-2/s -edge-1/s")
	f.counted(t, "cloudhub_sessions_ended_total", "Broken", 1)
	if !f.Disconnect("edge-2", "Test", "m", 3*time.Second) || f.Disconnect("edge-1", "Test", "", 0) {
		t.Error("Disconnect does not know who is there")
	}
	if bye := goodbye(t, other); bye.Reason != "Test" || bye.RetryAfter != 3*time.Second {
		t.Errorf("%+v", bye)
	}
	f.counted(t, "cloudhub_sessions_ended_total", "Test", 1)
	if f.Len() != 0 {
		t.Errorf("%d sessions are left", f.Len())
	}
}

// The newest connection of a node counts, and the controller sees one after the
// other.
func TestNewestWins(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	s := f.connect(t, "edge-1", "a")
	for _, store := range []string{"a", "b", "b", "c"} {
		before := s
		heard := make(chan edgev1.Goodbye, 1)
		go func() { heard <- goodbye(t, before) }()
		s = f.connect(t, "edge-1", store)
		if bye := <-heard; bye.Reason != edgev1.ReasonReplaced || bye.RetryAfter != replacedRetry {
			t.Errorf("%+v", bye)
		}
		ask(t, s)
	}
	f.until(t, "+edge-1/a -edge-1/a +edge-1/a -edge-1/a +edge-1/b -edge-1/b +edge-1/b -edge-1/b +edge-1/c")
	f.counted(t, "cloudhub_sessions_ended_total", edgev1.ReasonReplaced, 4)
	if n := strings.Count(f.log.String(), "two machines have certificates of one node"); n != 2 {
		t.Errorf("two machines are told of %d times", n)
	}
	// One that is not there any more hears nothing, and holds nobody up.
	if again := f.connect(t, "edge-1", "c"); again.Err() != nil {
		t.Error(again.Err())
	}
	f.counted(t, "cloudhub_sessions", "", 1)
}

// Who has no good certificate has no session.
func TestCertificates(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	hour := time.Now().Add(time.Hour)
	stranger := sessiontest.NewAuthority(t)
	mixed := stranger.Node(t, NodePrefix+"x", hour)
	mixed.RootCAs = f.authority.Node(t, NodePrefix+"x", hour).RootCAs
	none := f.authority.Node(t, NodePrefix+"x", hour)
	none.Certificates = nil
	old := f.authority.Node(t, NodePrefix+"x", hour)
	old.MinVersion, old.MaxVersion = 0, 0x0303 // TLS 1.2
	for name, tt := range map[string]struct {
		dial func() error
		want string
	}{
		"of another authority": {func() error { _, _, err := sessiontest.Dial(t, f.url, mixed); return err }, "unknown certificate authority"},
		"none":                 {func() error { _, _, err := sessiontest.Dial(t, f.url, none); return err }, "certificate required"},
		"TLS 1.2":              {func() error { _, _, err := sessiontest.Dial(t, f.url, old); return err }, "protocol version"},
		"expired": {func() error {
			_, _, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix+"x", time.Now().Add(-time.Minute)))
			return err
		}, "expired certificate"},
		"not a node's": {func() error {
			_, _, err := sessiontest.Dial(t, f.url, f.authority.Node(t, "kubernetes-admin", hour))
			return err
		}, "403"},
		"of no node": {func() error {
			_, _, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix, hour))
			return err
		}, "403"},
	} {
		if err := tt.dial(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.counted(t, "cloudhub_refused_total", "Certificate", 2)
	f.counted(t, "cloudhub_refused_total", "Handshake", 4)
	if got := f.controller.seen(); got != "" {
		t.Errorf("the controller saw %s", got)
	}
}

// A node that is reset is told so, at once and when it comes back. One whose
// certificate expires loses its session.
func TestNoLongerGood(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	f.authority.Revoke("edge-1")
	if bye := goodbye(t, f.dial(t, "edge-1", "s")); bye.Reason != edgev1.ReasonNodeReset || bye.RetryAfter >= 0 {
		t.Errorf("%+v", bye)
	}
	s := f.connect(t, "edge-2", "s")
	f.authority.Revoke("edge-2")
	if bye := goodbye(t, s); bye.Reason != edgev1.ReasonNodeReset {
		t.Errorf("%+v", bye)
	}
	f.until(t, "+edge-2/s -edge-2/s")
	s = f.connect(t, "edge-3", "s")
	f.mu.Lock()
	cert := f.sessions["edge-3"].cert
	f.mu.Unlock()
	if _, bad := f.judge(cert.NotAfter.Add(-time.Second), "edge-3", cert); bad {
		t.Error("it has expired before its time")
	}
	if bye, bad := f.judge(cert.NotAfter, "edge-3", cert); !bad || bye.Reason != edgev1.ReasonExpired {
		t.Errorf("%v, %+v", bad, bye)
	}
	s.Close(nil)
}

// Who does not say Hello, or says something else, is cut off.
func TestNoHello(t *testing.T) {
	f := start(t, Limits{HandshakeTimeout: 300 * time.Millisecond}, session.Options{})
	quiet := func() *session.Session {
		ws, conn, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix+"x", time.Now().Add(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		return session.New(ws, conn, session.Options{})
	}
	s := quiet()
	if m, err := s.Read(); err == nil {
		t.Errorf("%v", m)
	}
	s = quiet()
	if err := s.Send(t.Context(), &edgev1.Forget{}); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Read(); err == nil {
		t.Errorf("%v", m)
	}
	s = quiet()
	if err := s.Send(t.Context(), &edgev1.Hello{Protocol: edgev1.Protocol + 1}); err != nil {
		t.Fatal(err)
	}
	if bye := goodbye(t, s); bye.Reason != edgev1.ReasonProtocol || bye.RetryAfter <= 0 {
		t.Errorf("%+v", bye)
	}
	f.counted(t, "cloudhub_refused_total", "NoHello", 2)
	// A connection without TLS.
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(f.url, "wss://"), "/v1/link"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", n)
	}
	if got := f.controller.seen(); got != "" {
		t.Errorf("the controller saw %s", got)
	}
}

// A full hub sends new nodes away, and lets in those that it has.
func TestFull(t *testing.T) {
	f := start(t, Limits{Sessions: 2}, session.Options{})
	f.connect(t, "edge-1", "s")
	two := f.connect(t, "edge-2", "s")
	if bye := goodbye(t, f.dial(t, "edge-3", "s")); bye.Reason != edgev1.ReasonBusy || bye.RetryAfter != busyRetry {
		t.Errorf("%+v", bye)
	}
	go goodbye(t, two)
	f.connect(t, "edge-2", "s")
	f.counted(t, "cloudhub_refused_total", edgev1.ReasonBusy, 1)
}

// Sessions do not count as handshakes: many nodes can come from one address.
func TestManyOfOneAddress(t *testing.T) {
	f := start(t, Limits{Handshakes: 4, HandshakesPerAddress: 2}, session.Options{})
	for i := range 10 {
		ask(t, f.connect(t, fmt.Sprintf("edge-%d", i), "s"))
	}
	f.counted(t, "cloudhub_sessions", "", 10)
}

// A node that floods the hub, or does not read, costs the others nothing.
func TestHostileNodes(t *testing.T) {
	f := start(t, Limits{FramesPerSecond: 50}, session.Options{Timeout: 2 * time.Second})
	flood := f.connect(t, "flood", "s")
	go func() { // and it does not read the answers
		for i := 0; flood.Send(t.Context(), &edgev1.Forget{ID: uint64(i)}) == nil; i++ {
		}
	}()
	deaf := f.connect(t, "deaf", "s")
	f.controller.mu.Lock()
	send := f.controller.sends["deaf"]
	f.controller.mu.Unlock()
	stuck := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = send(t.Context(), &edgev1.Put{Object: make([]byte, 1<<20)})
		}
		stuck <- err
	}()
	good := f.connect(t, "good", "s")
	for range 20 {
		ask(t, good)
	}
	if err := <-stuck; !session.IsTimeout(err) {
		t.Errorf("of who does not read: %v", err)
	}
	f.counted(t, "cloudhub_sessions_ended_total", "Timeout", 1)
	eventually.Succeeds(t, 20*time.Second, func(context.Context) error {
		if f.metricOf(t, "cloudhub_slowed_seconds_total") == 0 {
			return errors.New("nobody was slowed")
		}
		return nil
	})
	deaf.Close(nil)
	flood.Close(nil)
}

func (f *fixture) metricOf(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// A hub that ends says Goodbye, and its controller hears the end of all
// sessions before Serve returns.
func TestStop(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	s := f.connect(t, "edge-1", "s")
	heard := make(chan edgev1.Goodbye, 1)
	go func() { heard <- goodbye(t, s) }()
	f.stop()
	if bye := <-heard; bye.Reason != edgev1.ReasonShuttingDown {
		t.Errorf("%+v", bye)
	}
	if got := f.controller.seen(); got != "+edge-1/s -edge-1/s" {
		t.Errorf("the controller saw %s", got)
	}
}
