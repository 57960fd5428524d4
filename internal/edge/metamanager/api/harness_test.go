package api

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/localca"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
)

const node = "edge-1"

// edge is the half of an edge node that the local API needs.
type edge struct {
	t      *testing.T
	dir    string
	ca     *localca.Authority
	signer *tokens.Signer
	store  *store.Store
	sync   *sync.Sync
	outbox *outbox.Outbox
	server *Server
	// config is the kubelet's.
	config  *rest.Config
	address string
	stop    func()
	log     *testlog.Buffer
}

// newEdge starts an edge node, cut. If wrap is not nil, it is asked for the
// cloud instead of sync.
func newEdge(t *testing.T, wrap Cloud) *edge {
	t.Helper()
	e := &edge{t: t, dir: t.TempDir(), address: "127.0.0.1:0", log: &testlog.Buffer{}}
	var err error
	if e.ca, err = localca.Open(filepath.Join(e.dir, "pki")); err != nil {
		t.Fatal(err)
	}
	if e.signer, err = tokens.Open(filepath.Join(e.dir, "pki")); err != nil {
		t.Fatal(err)
	}
	cert, key, err := e.ca.Client(NodeUser(node), "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	e.start(wrap)
	e.config = &rest.Config{
		Host: "https://" + e.address, QPS: -1,
		ContentConfig:   rest.ContentConfig{ContentType: "application/json"}, // as Edged has the kubelet do it
		TLSClientConfig: rest.TLSClientConfig{CAData: e.ca.CertPEM, CertData: cert, KeyData: key},
	}
	t.Cleanup(func() {
		e.stop()
		if t.Failed() {
			t.Logf("edgecore's log:\n%s", e.log)
		}
	})
	return e
}

// start starts edgecore's parts, at the same address as before.
func (e *edge) start(wrap Cloud) {
	e.t.Helper()
	log := slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if e.store, err = store.Open(e.t.Context(), store.Options{Path: filepath.Join(e.dir, "edgecore.db"), Log: log}); err != nil {
		e.t.Fatal(err)
	}
	e.sync = sync.New(sync.Options{Store: e.store, Log: log, Node: node, First: func(ctx context.Context) {
		e.outbox.Replay(ctx)
	}, Joined: func(ctx context.Context) { e.server.Prefetch(ctx) }})
	var cloud Cloud = e.sync
	if wrap != nil {
		cloud = wrap
	}
	e.outbox = outbox.New(outbox.Options{Store: e.store, Do: cloud.Do, Kept: e.sync.Again, Log: log})
	e.server = New(Options{Node: node, Store: e.store, Cloud: cloud, Outbox: e.outbox, Log: log, Authenticate: Users(node, e.ca.User),
		Signer: e.signer})
	server, err := e.ca.Server("127.0.0.1")
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := Listen(ctx, e.address, e.server.Authenticate)
	if err != nil {
		e.t.Fatal(err)
	}
	e.address = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- e.server.Serve(ctx, l, e.ca.Config(server)) }()
	stopped := false
	e.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				e.t.Error(err)
			}
		case <-time.After(eventually.Patience):
			e.t.Error("the server does not end")
		}
		if err := e.store.Close(); err != nil {
			e.t.Error(err)
		}
	}
}
