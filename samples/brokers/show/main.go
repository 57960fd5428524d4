// Command show is a broker that shows its devices: their properties from the
// environment, and their device nodes, which it opens.
//
// It serves a page on /, the same as JSON on /api/devices, and /healthz, on
// port 8083 (PORT).
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/akri-go/akri/bounded"
)

//go:embed page.html
var page []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		slog.Error("broker failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bounded.Memory(os.Getenv)
	port := os.Getenv("PORT")
	if port == "" {
		port = "8083"
	}
	for _, d := range devices(os.Environ()) {
		slog.Info("device", "hash", d.Hash, "properties", d.Properties, "nodes", d.Nodes)
	}
	listener, err := bounded.Listen(ctx, ":"+port, bounded.Limits{})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	slog.Info("broker serves", "address", listener.Addr().String())
	return bounded.Serve(ctx, listener, &http.Server{Handler: handler(os.Environ(), identity())})
}

// Broker says which broker answers.
type Broker struct {
	Pod     string    `json:"pod"`
	Node    string    `json:"node,omitempty"`
	Started time.Time `json:"started"`
}

func identity() Broker {
	pod := os.Getenv("POD_NAME")
	if pod == "" {
		pod, _ = os.Hostname()
	}
	return Broker{Pod: pod, Node: os.Getenv("NODE_NAME"), Started: time.Now().UTC().Truncate(time.Second)}
}

// Answer is what /api/devices returns.
type Answer struct {
	Broker  Broker   `json:"broker"`
	Devices []Device `json:"devices"`
}

func handler(environ []string, who Broker) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /api/devices", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(Answer{Broker: who, Devices: devices(environ)})
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'")
		w.Write(page)
	})
	return mux
}
