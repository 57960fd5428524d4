package probes

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHandler(t *testing.T) {
	var ready error = errors.New("not yet")
	h := handler(Options{Ready: func() error { return ready }, Metrics: http.NotFoundHandler()})
	get := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/healthz", http.StatusOK, "ok"},
		{"GET", "/readyz", http.StatusServiceUnavailable, "not yet"},
		{"GET", "/metrics", http.StatusNotFound, "404"}, // as it was told to
		{"POST", "/readyz", http.StatusMethodNotAllowed, ""},
		{"GET", "/", http.StatusNotFound, ""},
	} {
		if code, body := get(c.method, c.path); code != c.code || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %q", c.method, c.path, code, body)
		}
	}
	ready = nil
	if code, _ := get("GET", "/readyz"); code != http.StatusOK {
		t.Errorf("ready, but %d", code)
	}
}

func TestServeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Serve(ctx, Options{Address: "127.0.0.1:0"}) }()
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Serve(t.Context(), Options{Address: "127.0.0.1:http-nonsense"}); err == nil {
		t.Error("no error for an address that is none")
	}
}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hang := make(chan struct{})
		var calls atomic.Int32
		p := NewPulse(map[string]func(context.Context){
			"well": func(context.Context) {},
			"hangs": func(ctx context.Context) {
				calls.Add(1)
				select {
				case <-hang:
				case <-ctx.Done():
				}
			},
		})
		for _, at := range []time.Duration{0, 10 * time.Second, 20 * time.Second} {
			if err := p.Check(ctx); err != nil {
				t.Errorf("after %s: %v", at, err)
			}
			time.Sleep(10 * time.Second)
		}
		err := p.Check(ctx)
		if err == nil || !strings.Contains(err.Error(), "[hangs]") {
			t.Errorf("a loop that hangs: %v", err)
		}
		if calls.Load() != 1 {
			t.Errorf("it was asked %d times while it hung", calls.Load())
		}
		close(hang)
		synctest.Wait()
		if err := p.Check(ctx); err != nil || calls.Load() != 2 {
			t.Errorf("after it came by: %v, %d calls", err, calls.Load())
		}
		cancel()
		synctest.Wait()
	})
}
