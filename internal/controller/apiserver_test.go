package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/freeport"
)

// While the API server is away, a replica is alive and not ready, and its
// address is free again when it has answered.
func TestAwaitAPIServer(t *testing.T) {
	probe := freeport.Address(t)
	asked := 0
	seen := map[string]int{}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 1 && len(seen) < 2 { // nothing is served before the first answer
			for _, path := range []string{"/healthz", "/readyz"} {
				if code := answerOf(path, probe); code != 0 {
					seen[path] = code
				}
			}
		}
		if len(seen) < 2 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/api" {
			io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
			return
		}
		io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
	}))
	t.Cleanup(api.Close)
	o := Options{Config: &rest.Config{Host: api.URL}, ProbeAddress: probe, Log: slog.New(slog.DiscardHandler)}
	if err := AwaitAPIServer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if seen["/healthz"] != http.StatusOK || seen["/readyz"] != http.StatusServiceUnavailable {
		t.Errorf("meanwhile the probes answered %v", seen)
	}
	listener, err := net.Listen("tcp", probe)
	if err != nil {
		t.Fatalf("the probes' address is not free afterwards: %v", err)
	}
	listener.Close()
}

func TestAwaitAPIServerEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := Options{Config: &rest.Config{Host: "http://" + freeport.Address(t)}, ProbeAddress: nowhere, Log: slog.New(slog.DiscardHandler)}
	if err := AwaitAPIServer(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// answerOf returns its status, 0 if there is none.
func answerOf(path, address string) int {
	answer, err := http.Get(fmt.Sprintf("http://%s%s", address, path))
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}
