package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/samples/opcuanode"
)

// patience is how long a test waits for what must happen.
const patience = eventually.Patience

// rig is a broker that runs, and a client of it.
type rig struct {
	*broker

	t       *testing.T
	log     *testlog.Buffer
	address string
	client  opcuanode.OpcuaNodeClient
}

// start runs a broker with an environment.
func start(t *testing.T, environ ...string) *rig {
	t.Helper()
	return startWith(t, settingsOf(t, environ...))
}

func settingsOf(t *testing.T, environ ...string) settings {
	t.Helper()
	s, err := parse(append([]string{"NAMESPACE_INDEX=1", "IDENTIFIER=Thermometer_Temperature", "INTERVAL=50ms", "METRICS_PORT=0",
		"CREDENTIAL_DIRECTORY=" + t.TempDir() + "/none"}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startWith(t *testing.T, s settings) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, log: new(testlog.Buffer), address: listener.Addr().String()}
	r.broker = newBroker(s, slog.New(slog.NewTextHandler(r.log, nil)))
	r.retry.First, r.retry.Max = 10*time.Millisecond, 100*time.Millisecond
	done := make(chan error, 1)
	go func() { done <- r.run(ctx, listener) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the broker's log:\n%s", r.log)
		}
	})
	r.client = dial(t, r.address)
	return r
}

func dial(t *testing.T, address string) opcuanode.OpcuaNodeClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return opcuanode.NewOpcuaNodeClient(conn)
}

// gives waits until the broker gives a value.
func (r *rig) gives(want float64) {
	r.t.Helper()
	eventually.Succeeds(r.t, patience, func(ctx context.Context) error {
		m, err := r.client.GetValue(ctx, &opcuanode.ValueRequest{})
		if err != nil {
			return err
		}
		if m.Reading == nil || m.GetReading() != want || m.GetValue() != whole(want) || m.GetOpcuaServer() != r.settings.url {
			return fmt.Errorf("the broker gives %v, want %g", m, want)
		}
		return nil
	})
}

// lacks waits until the broker gives no value, for a reason.
func (r *rig) lacks(reason string) {
	r.t.Helper()
	eventually.Succeeds(r.t, patience, func(ctx context.Context) error {
		m, err := r.client.GetValue(ctx, &opcuanode.ValueRequest{})
		if err != nil {
			return err
		}
		if m.Reading != nil || m.GetValue() != 0 || !strings.Contains(m.GetReason(), reason) {
			return fmt.Errorf("the broker gives %v, want nothing since %q", m, reason)
		}
		return nil
	})
}

// proxy is between a broker and a server.
type proxy struct {
	address string

	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	frozen chan struct{} // closed when it goes on; nil if it does
}

// newProxy listens on another address of the loopback, at the same port: servers
// call themselves by their port.
func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	_, port, err := net.SplitHostPort(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", port))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), listener: l}
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.join(c, to) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.thaw()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) join(a net.Conn, to string) {
	b, err := net.Dial("tcp", to)
	if err != nil {
		a.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, a, b)
	p.mu.Unlock()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		p.running.Go(func() {
			defer way[0].Close()
			defer way[1].Close()
			_, _ = io.Copy(way[1], slowly{way[0], p}) // the ends see it
		})
	}
}

// slowly reads, but not while the proxy is frozen.
type slowly struct {
	io.Reader
	p *proxy
}

func (s slowly) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.p.mu.Lock()
	frozen := s.p.frozen
	s.p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return n, err
}

// freeze keeps connections open, and lets nothing through.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
