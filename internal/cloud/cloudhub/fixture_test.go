package cloudhub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

	telling sync.Mutex
	told    []string // nodes with two machines
}

func (f *fixture) twins(node, address, before string) {
	f.telling.Lock()
	defer f.telling.Unlock()
	if address == before {
		node += " at one address"
	}
	f.told = append(f.told, node)
}

// start serves a hub until the test ends.
func start(t *testing.T, limits Limits, o session.Options) *fixture {
	t.Helper()
	leaktest.Check(t)
	f := &fixture{controller: &controller{}, authority: sessiontest.NewAuthority(t), log: &testlog.Buffer{}, metrics: prometheus.NewRegistry()}
	var err error
	f.Hub, err = New(Options{Authority: f.authority, Controller: f.controller, Twins: f.twins, Version: "v-test", Limits: limits, Session: o,
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
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if got := f.controller.seen(); got != want {
			return fmt.Errorf("the controller saw %q, want %q", got, want)
		}
		return nil
	})
}

// counted waits until a metric has a value; label is that of the one series.
func (f *fixture) counted(t *testing.T, name, label string, want float64) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
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
