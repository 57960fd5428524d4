package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/samples/opcuanode"
	"github.com/akri-go/akri/samples/pages"
)

// patience is how long a test waits for what must happen.
const patience = eventually.Patience

// serveHub serves the page of a hub with upstream's training, and returns its
// address.
func serveHub(t *testing.T) (*hub, string) {
	t.Helper()
	leaktest.Check(t)
	usual, err := parseTraining(defaultTraining, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := pages.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(ctx, usual, slog.New(slog.DiscardHandler))
	var running sync.WaitGroup
	running.Go(func() { h.run(ctx) })
	done := make(chan error, 1)
	page, err := handler(h)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- pages.Serve(ctx, listener, page) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		running.Wait()
		h.close()
	})
	return h, listener.Addr().String()
}

// fake is a broker, like ours or like upstream's, that says what a test wants.
type fake struct {
	opcuanode.UnimplementedOpcuaNodeServer

	server   string
	upstream bool // without streams, and with whole numbers alone

	mu      sync.Mutex
	value   float64
	reason  string
	changed chan struct{}
}

func newFake(server string, value float64) *fake {
	return &fake{server: server, value: value, changed: make(chan struct{})}
}

// set has it say a value, or why there is none.
func (f *fake) set(value float64, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.value, f.reason = value, reason
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) says() (*opcuanode.ValueResponse, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &opcuanode.ValueResponse{OpcuaServer: f.server, Value: int32(f.value)}
	switch {
	case f.upstream:
	case f.reason != "":
		m.Reason = f.reason
	default:
		m.Reading = new(f.value)
	}
	return m, f.changed
}

func (f *fake) GetValue(context.Context, *opcuanode.ValueRequest) (*opcuanode.ValueResponse, error) {
	m, _ := f.says()
	return m, nil
}

func (f *fake) StreamValues(_ *opcuanode.ValueRequest, to grpc.ServerStreamingServer[opcuanode.ValueResponse]) error {
	if f.upstream {
		return status.Error(codes.Unimplemented, "no such method")
	}
	for {
		m, changed := f.says()
		if err := to.Send(m); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-to.Context().Done():
			return nil
		}
	}
}

// serve serves the broker, and returns its address and what stops it.
func (f *fake) serve(t *testing.T, at string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	opcuanode.RegisterOpcuaNodeServer(s, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	stop = sync.OnceFunc(func() { s.Stop(); <-done })
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// viewer reads what a page reads, and keeps what a page keeps.
type viewer struct {
	t    testing.TB
	body io.ReadCloser
	in   *bufio.Scanner
	last Message
	// points are all of each server.
	points map[string][][3]float64
}

func look(t testing.TB, address string) *viewer {
	t.Helper()
	resp, err := http.Get("http://" + address + "/live")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	p := &viewer{t: t, body: resp.Body, in: bufio.NewScanner(resp.Body), points: map[string][][3]float64{}}
	p.in.Buffer(nil, 1<<20)
	return p
}

// next reads the next message.
func (p *viewer) next() {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { p.body.Close() })
	defer timer.Stop()
	for p.in.Scan() {
		data, ok := strings.CutPrefix(p.in.Text(), "data: ")
		if !ok {
			continue
		}
		p.last = Message{}
		if err := json.Unmarshal([]byte(data), &p.last); err != nil {
			p.t.Fatal(err)
		}
		for _, e := range p.last.Servers {
			p.points[e.ID] = append(p.points[e.ID], e.Points...)
		}
		return
	}
	p.t.Fatalf("the page's connection has ended: %v", p.in.Err())
}

// shows waits until what the page shows pleases.
func (p *viewer) shows(please func(*viewer) error) {
	p.t.Helper()
	err := errors.New("there is no message")
	for began := time.Now(); time.Since(began) < patience; {
		p.next()
		if err = please(p); err == nil {
			return
		}
	}
	p.t.Fatalf("after %s: %v", patience, err)
}

// states wants servers and their states: "a:live b:waiting".
func states(want string) func(*viewer) error {
	return func(p *viewer) error {
		var got []string
		for _, e := range p.last.Servers {
			got = append(got, fmt.Sprintf("%s:%s", e.ID, e.State))
		}
		if text := strings.Join(got, " "); text != want {
			return fmt.Errorf("the page shows %q, want %q", text, want)
		}
		return nil
	}
}

// newest wants a server's newest value and what is thought of it.
func newest(id string, value float64, v verdict) func(*viewer) error {
	return func(p *viewer) error {
		points := p.points[id]
		if len(points) == 0 || points[len(points)-1][1] != value || points[len(points)-1][2] != float64(v) {
			return fmt.Errorf("%s has %v, want %g and verdict %d in the end", id, points, value, v)
		}
		return nil
	}
}

// says wants a server's reason for having no value.
func says(id, reason string) func(*viewer) error {
	return func(p *viewer) error {
		for _, e := range p.last.Servers {
			if e.ID == id && strings.Contains(e.Reason, reason) {
				return nil
			}
		}
		return fmt.Errorf("of %s it is not said %q: %+v", id, reason, p.last)
	}
}
