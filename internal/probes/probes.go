// Package probes serves /healthz, /readyz and /metrics to the kubelet and to
// Prometheus.
package probes

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/akri-go/akri/bounded"
)

// Options say what is served. All but Address may be nil.
type Options struct {
	// Address is that of the listener.
	Address string
	// Ready returns why the program cannot do its work yet, nil if it can.
	Ready func() error
	// Alive returns why the program must be restarted, nil if it need not be. It
	// must return soon.
	Alive func() error
	// Metrics answers for /metrics.
	Metrics http.Handler
}

// maxScrapes is how many requests for metrics are worked on at a time, and
// scrapeTimeout how long others wait.
const (
	maxScrapes    = 2
	scrapeTimeout = 5 * time.Second
)

// Serve serves until ctx is done, and returns when the requests in flight have
// ended.
func Serve(ctx context.Context, o Options) error {
	listener, server, err := Listen(ctx, o)
	if err != nil {
		return err
	}
	if err := bounded.Serve(ctx, listener, server); err != nil {
		return fmt.Errorf("serve metrics and probes: %w", err)
	}
	return nil
}

// Listen listens, and returns the server to serve there.
func Listen(ctx context.Context, o Options) (*bounded.Listener, *http.Server, error) {
	listener, err := bounded.Listen(ctx, o.Address, bounded.Limits{})
	if err != nil {
		return nil, nil, fmt.Errorf("serve metrics and probes (METRICS_PORT): %w", err)
	}
	server := &http.Server{Handler: handler(o)}
	bounded.Bound(listener, server)
	return listener, server, nil
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answer(o.Alive))
	mux.HandleFunc("GET /readyz", answer(o.Ready))
	if o.Metrics != nil {
		mux.Handle("GET /metrics", bounded.NewGate(maxScrapes, 1).Handler(scrapeTimeout, o.Metrics))
	}
	return mux
}

// answer answers ok, or with status 503 and what is wrong.
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
