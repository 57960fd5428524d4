package reach

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestMonitor uses an HTTP server of its own: answers with given codes, and no
// answer at all, are not to be had from a real API server.
func TestMonitor(t *testing.T) {
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
		w.WriteHeader(int(code.Load()))
	}))
	defer server.Close()
	defer close(hang)
	m := NewMonitor()
	client := &http.Client{Transport: m.Transport(http.DefaultTransport)}
	get := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if m.Reachable() {
		t.Error("reachable before the first answer")
	}
	for _, step := range []struct {
		code int
		up   bool
	}{
		{200, true}, {503, false}, {500, false}, {404, true}, {500, true}, {504, false}, {403, true},
		{502, false}, {409, true}, {422, true},
	} {
		code.Store(int32(step.code))
		if err := get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.Reachable() != step.up {
			t.Errorf("after %d: reachable %v", step.code, !step.up)
		}
	}
	// A caller that gives up says nothing; a deadline does.
	code.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := get(ctx); err == nil || !m.Reachable() {
		t.Errorf("cancelled: %v, reachable %v", err, m.Reachable())
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := get(ctx); err == nil || m.Reachable() {
		t.Errorf("timed out: %v, reachable %v", err, m.Reachable())
	}
}

func TestDirect(t *testing.T) {
	m := NewMonitor()
	if p := Direct(m); p.API != p.Arbiter || p.API != Party(m) {
		t.Errorf("one server is not both: %+v", p)
	}
}
