package edgelink

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	cloudjoin "github.com/akri-go/akri/internal/cloud/cloudhub/join"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust/trusttest"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/session"
)

type sender = func(context.Context, edgev1.Message) error

// echo is a controller that answers each Call with its body, the first 300 bytes
// of it.
type echo struct {
	mu    sync.Mutex
	sends map[string]sender
}

func (e *echo) Open(ctx context.Context, node string, _ edgev1.Hello, send sender) cloudhub.Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sends == nil {
		e.sends = map[string]sender{}
	}
	e.sends[node] = send
	return &echoed{ctx, send}
}

func (e *echo) to(node string) func(context.Context, edgev1.Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sends[node]
}

type echoed struct {
	ctx  context.Context
	send func(context.Context, edgev1.Message) error
}

func (e *echoed) Receive(m edgev1.Message) {
	if c, ok := m.(*edgev1.Call); ok {
		_ = e.send(e.ctx, &edgev1.Reply{ID: c.ID, Status: 200, Body: c.Body[:min(len(c.Body), 300)]})
	}
}

func (e *echoed) Close() {}

// cloud is a cloudcore without an API server.
type cloud struct {
	keeper     *trust.Keeper
	hub        *cloudhub.Hub
	controller *echo
	wss, https string // addresses
}

func startCloud(t *testing.T, o session.Options) *cloud {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	m := &trusttest.Memory{}
	c := &cloud{keeper: trust.New(m, m, quiet), controller: &echo{}}
	if err := c.keeper.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	c.hub, err = cloudhub.New(cloudhub.Options{
		Authority: c.keeper, Controller: c.controller, Version: "v-test", Session: o, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	joins, err := cloudjoin.New(cloudjoin.Options{Keeper: c.keeper, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := c.hub.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	j, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c.wss, c.https = l.Addr().String(), j.Addr().String()
	done := make(chan error, 2)
	go func() { done <- c.hub.Serve(ctx, l) }()
	go func() { done <- joins.Serve(ctx, j) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

// edge is an edge node.
type edge struct {
	dir    string
	status *link.Status

	mu      sync.Mutex
	ctx     context.Context
	send    func(context.Context, edgev1.Message) error
	puts    []string // interest, version and length of each
	replies chan *edgev1.Reply
	ended   chan error
}

// join joins a node, in a folder of its own.
func (c *cloud) join(t *testing.T, node string) *edge {
	t.Helper()
	e := &edge{
		dir: t.TempDir(), status: &link.Status{}, replies: make(chan *edgev1.Reply, 10), ended: make(chan error, 10),
	}
	c.joinAgain(t, node, e)
	return e
}

func (c *cloud) joinAgain(t *testing.T, node string, e *edge) {
	t.Helper()
	token, _, err := c.keeper.CreateToken(t.Context(), node, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := join.Options{Address: c.https, Node: node, Dir: e.dir, Log: slog.New(slog.DiscardHandler)}
	if _, err := join.Join(t.Context(), o, token); err != nil {
		t.Fatal(err)
	}
}

// run runs the node's link until stop is called, or the test ends.
func (e *edge) run(t *testing.T, address, node, store string, o session.Options) (stop func()) {
	t.Helper()
	return e.runAt(t, address, node, store, o, time.Now)
}

// runAt is run with another clock for certificates.
func (e *edge) runAt(t *testing.T, address, node, store string, o session.Options, now func() time.Time) (stop func()) {
	t.Helper()
	certificates := join.TLS(e.dir)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- link.Run(ctx, link.Options{
			Address: address, TLS: func() (*tls.Config, error) {
				c, err := certificates()
				if err == nil {
					c = c.Clone()
					c.Time = now
				}
				return c, err
			}, Hello: edgev1.Hello{Node: node, Store: store},
			Log: slog.New(slog.DiscardHandler), Status: e.status, Session: o,
			Backoff: backoff.Backoff{First: 5 * time.Millisecond, Max: 50 * time.Millisecond, Jitter: 0.5},
		}, e)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (e *edge) Connected(ctx context.Context, _ edgev1.Hello, send func(context.Context, edgev1.Message) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ctx, e.send = ctx, send
}

func (e *edge) Receive(m edgev1.Message) {
	switch m := m.(type) {
	case *edgev1.Reply:
		e.replies <- m
	case *edgev1.Put:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.puts = append(e.puts, fmt.Sprintf("%d/%s/%d", m.ID, m.Version, len(m.Object)))
	}
}

func (e *edge) Disconnected(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.send = nil
	select {
	case e.ended <- err:
	default:
	}
}

// call makes a call and waits for its reply.
func (e *edge) call(id uint64, body string) error {
	e.mu.Lock()
	ctx, send := e.ctx, e.send
	e.mu.Unlock()
	if send == nil {
		return fmt.Errorf("not linked: %+v", e.status.Snapshot())
	}
	if err := send(ctx, &edgev1.Call{ID: id, Method: "GET", Path: "/", Body: []byte(body)}); err != nil {
		return err
	}
	select {
	case r := <-e.replies:
		if r.ID != id || string(r.Body) != body {
			return fmt.Errorf("reply %d %q", r.ID, r.Body)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cable forwards connections to an address, until it is pulled: then the
// connections that there are stay open, and nothing passes.
type cable struct {
	net.Listener
	mu     sync.Mutex
	pulled chan struct{}
	conns  []net.Conn
}

func lay(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l, pulled: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				return
			}
			c.mu.Lock()
			pulled := c.pulled
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			wg.Go(func() { forward(in, out, pulled) })
			wg.Go(func() { forward(out, in, pulled) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.mu.Lock()
		for _, conn := range c.conns {
			conn.Close()
		}
		c.mu.Unlock()
		wg.Wait()
	})
	return c
}

// pull cuts the connections that there are; new ones work.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.pulled)
	c.pulled = make(chan struct{})
}

func forward(to io.WriteCloser, from io.Reader, pulled chan struct{}) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		select {
		case <-pulled:
			if err != nil {
				return // the other end is not told
			}
			continue
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
