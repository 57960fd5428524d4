package kubeclient

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

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
