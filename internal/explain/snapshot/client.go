package snapshot

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// Client returns a client for Read, and for whoever follows Sources, and the clock
// of the API server that it talks to.
func Client(cfg *rest.Config) (client.WithWatch, func() time.Time, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v0.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, nil, fmt.Errorf("register types: %w", err)
		}
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // the reads are few
	cfg.WarningHandler = rest.NoWarnings{}
	watch := &clock{}
	cfg.Wrap(watch.wrap)
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("reach the API server: %w", err)
	}
	return c, watch.now, nil
}

// clock is what the API server's answers are dated.
type clock struct {
	mu   sync.Mutex
	last time.Time
	came time.Time // when the answer with this date came
}

func (c *clock) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil {
			if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
				c.mu.Lock()
				c.last, c.came = at, time.Now()
				c.mu.Unlock()
			}
		}
		return resp, err
	})
}

// now returns the date of the last answer and the time since, or else our own
// time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.IsZero() {
		return time.Now()
	}
	return c.last.Add(time.Since(c.came))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
