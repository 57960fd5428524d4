// Package probes serves /healthz, /readyz and /metrics to the kubelet and to
// Prometheus.
package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Options say what is served. All but Address may be nil.
type Options struct {
	// Address is that of the listener.
	Address string
	// Ready says why the program cannot do its work yet, nil if it can.
	Ready func() error
	// Alive says why the program must be started anew, nil if it need not.
	// It must return soon.
	Alive func() error
	// Metrics answers for /metrics.
	Metrics http.Handler
}

// Serve serves until ctx is done, and returns when all is answered and closed.
func Serve(ctx context.Context, o Options) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return fmt.Errorf("serve metrics and probes (METRICS_PORT): %w", err)
	}
	server := &http.Server{
		Handler:           handler(o),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Shutdown(stopping); err != nil {
			server.Close()
		}
	})
	defer func() {
		if !stop() {
			<-stopped
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and probes: %w", err)
	}
	return nil
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answer(o.Alive))
	mux.HandleFunc("GET /readyz", answer(o.Ready))
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return mux
}

// answer says ok, or what is wrong with status 503.
func answer(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if check != nil {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}
