package kubeclient

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// TestReachable uses an HTTP server of its own: answers with given codes, and
// no answer at all, are not to be had from a real API server.
func TestReachable(t *testing.T) {
	var code atomic.Int32
	code.Store(http.StatusOK)
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code.Load() == 0 {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(code.Load()))
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "code": code.Load()})
	}))
	defer server.Close()
	defer close(hang)
	c, err := New(&rest.Config{Host: server.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if c.Reachable() {
		t.Error("reachable before the first answer")
	}
	name := types.NamespacedName{Namespace: "n", Name: "x"}
	for _, step := range []struct {
		code int
		up   bool
	}{
		{200, true}, {503, false}, {500, false}, {404, true}, {500, true}, {504, false}, {403, true},
		{502, false}, {409, true}, {422, true},
	} {
		code.Store(int32(step.code))
		_, _ = c.GetInstance(t.Context(), name)
		if c.Reachable() != step.up {
			t.Errorf("after %d: reachable %v", step.code, !step.up)
		}
	}
	// A caller that gives up says nothing; a deadline does, if it leaves time to ask.
	code.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.GetInstance(ctx, name); err == nil || !c.Reachable() {
		t.Errorf("cancelled: %v, reachable %v", err, c.Reachable())
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.GetInstance(ctx, name); err == nil || c.Reachable() {
		t.Errorf("timed out: %v, reachable %v", err, c.Reachable())
	}
}

// TestProbe: nobody makes a request, yet the listeners hear of the server.
func TestProbe(t *testing.T) {
	var code atomic.Int32
	code.Store(http.StatusServiceUnavailable)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(code.Load()))
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan bool, 10)
	c.OnReachable(func(up bool) { told <- up })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	if <-told {
		t.Error("told that it is up at the start")
	}
	code.Store(http.StatusOK)
	if !<-told {
		t.Error("told twice that it is down")
	}
	code.Store(http.StatusServiceUnavailable)
	_, _ = c.GetInstance(ctx, types.NamespacedName{Namespace: "n", Name: "x"})
	if <-told {
		t.Error("told twice that it is up")
	}
}
