package probes

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
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

// What is being answered is answered before Serve returns.
func TestServeAnswersBeforeItEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	asked, answer := make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, Options{Address: address, Ready: func() error {
			close(asked)
			<-answer
			return nil
		}})
	}()
	got := make(chan error, 1)
	go func() {
		for {
			resp, err := http.Get("http://" + address + "/readyz")
			if errors.Is(err, syscall.ECONNREFUSED) {
				continue // it does not listen yet
			}
			if err == nil {
				err = resp.Body.Close()
			}
			got <- err
			return
		}
	}()
	<-asked
	cancel()
	select {
	case err := <-served:
		t.Errorf("it returned with a call unanswered: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(answer)
	if err := <-got; err != nil {
		t.Errorf("the call that was there got %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
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
