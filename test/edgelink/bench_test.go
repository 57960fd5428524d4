package edgelink

import (
	"crypto/tls"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/session/sessiontest"
)

var (
	nodes = flag.Int("nodes", 1000, "simulated edge nodes in benchmarks")
	idle  = flag.Duration("idle", 40*time.Second, "how long idle edge nodes are watched in benchmarks")
)

// fleet is simulated nodes: sessions as edgecore has them, without its link.
type fleet struct {
	configs  []*tls.Config
	mu       sync.Mutex
	sessions []*session.Session
}

func newFleet(b *testing.B, c *child, n int) *fleet {
	b.Helper()
	key, err := certs.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	f := &fleet{}
	for i := range n {
		config, err := c.node(key, fmt.Sprintf("edge-%d", i))
		if err != nil {
			b.Fatal(err)
		}
		f.configs = append(f.configs, config)
	}
	return f
}

// connect connects all, so many at a time, and returns when all have heard
// cloudcore's Hello.
func (f *fleet) connect(b *testing.B, address string, atOnce int) {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, config := range f.configs {
		g.Go(func() error {
			ws, conn, err := sessiontest.Dial(b, "wss://"+address+"/v1/link", config)
			if err != nil {
				return err
			}
			s := session.New(ws, conn, session.Options{})
			if err := s.Send(b.Context(), &edgev1.Hello{Protocol: edgev1.Protocol}); err != nil {
				return err
			}
			if _, err := s.Read(); err != nil {
				return err
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.sessions = append(f.sessions, s)
			go func() { // answers pings
				for {
					if _, err := s.Read(); err != nil {
						return
					}
				}
			}()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// passed is how many bytes of TLS have passed.
func (f *fleet) passed() (n uint64) {
	for _, s := range f.sessions {
		of := s.State()
		n += of.Received + of.Sent
	}
	return n
}

func (f *fleet) close() {
	for _, s := range f.sessions {
		s.Close(nil)
	}
}

// BenchmarkIdle measures what idle edge nodes cost a hub, which is a process of
// its own without anything else of cloudcore. Run it with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		c := startChild(b)
		before := c.stat(b, true)
		f := newFleet(b, c, *nodes)
		f.connect(b, c.address, 16)
		after := c.stat(b, true)
		if after.sessions != *nodes {
			b.Fatalf("%d sessions", after.sessions)
		}
		bytes, began := f.passed(), time.Now()
		time.Sleep(*idle) // what is measured is that nothing happens
		later := c.stat(b, false)
		took := time.Since(began)
		if later.sessions != *nodes {
			b.Fatalf("%d sessions after %s", later.sessions, took)
		}
		n := float64(*nodes)
		b.ReportMetric(float64(after.resident-before.resident)/n/1024, "KiB-RSS/node")
		b.ReportMetric(float64(later.resident-before.resident)/n/1024, "KiB-RSS-in-service/node")
		b.ReportMetric(float64(after.goroutines-before.goroutines)/n, "goroutines/node")
		b.ReportMetric(100*(later.cpu-after.cpu).Seconds()/took.Seconds()/n*10_000, "CPU%/10000-nodes")
		b.ReportMetric(float64(f.passed()-bytes)/n/took.Hours(), "bytes/node/hour")
		b.ReportMetric(0, "ns/op")
		f.close()
	}
}

// BenchmarkReconnect measures how long it takes until all nodes have a session
// that connect at once, and what that costs the hub. The nodes' own handshakes
// use the same CPUs.
func BenchmarkReconnect(b *testing.B) {
	for b.Loop() {
		c := startChild(b)
		f := newFleet(b, c, *nodes)
		before, began := c.stat(b, true), time.Now()
		f.connect(b, c.address, *nodes)
		took := time.Since(began)
		after := c.stat(b, false)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric((after.cpu-before.cpu).Seconds()*1000/float64(*nodes), "hub-CPU-ms/node")
		b.ReportMetric(0, "ns/op")
		f.close()
	}
}

// BenchmarkHandshake measures the unavoidable part of BenchmarkReconnect: the
// same connections to a bare server of WebSockets, in this process.
func BenchmarkHandshake(b *testing.B) {
	for b.Loop() {
		a := sessiontest.NewAuthority(b)
		address := sessiontest.Serve(b, a, func(ws *websocket.Conn, _ *session.Conn) { _, _, _ = ws.Read(b.Context()) })
		config := a.Node(b, "system:node:edge", time.Now().Add(time.Hour))
		began := time.Now()
		var g errgroup.Group
		for range *nodes {
			g.Go(func() error {
				_, _, err := sessiontest.Dial(b, "wss://"+address, config)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s")
		b.ReportMetric(0, "ns/op")
	}
}
