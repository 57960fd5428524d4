package reach

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// probeInterval is how often a server that is away is asked, about.
const probeInterval = time.Second

// Monitor knows from the requests that pass whether a server answers. The zero
// value is not usable; see [NewMonitor].
type Monitor struct {
	listeners []func(up bool)

	mu sync.Mutex
	up bool
	// changed has room for one: up may have changed.
	changed chan struct{}
}

var _ Party = (*Monitor)(nil)

// NewMonitor returns a Monitor of a server that is taken to be away until it
// answers.
func NewMonitor() *Monitor { return &Monitor{changed: make(chan struct{}, 1)} }

// Reachable implements [Party]: it tells whether the server answered the last
// request that had an outcome.
func (m *Monitor) Reachable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

// OnReachable implements [Party]. It must be called before [Monitor.Run], from
// which f is called.
func (m *Monitor) OnReachable(f func(up bool)) { m.listeners = append(m.listeners, f) }

// Transport returns a RoundTripper that makes requests with next and learns from
// their outcomes.
func (m *Monitor) Transport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		m.note(req, resp, err)
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// note draws the conclusion from one request.
func (m *Monitor) note(req *http.Request, resp *http.Response, err error) {
	switch {
	case err == nil:
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			m.set(false)
		case http.StatusInternalServerError:
			// As likely a webhook that fails as a server that does: says nothing.
		default:
			m.set(true)
		}
	case errors.Is(req.Context().Err(), context.Canceled):
		// the caller lost interest
	default:
		m.set(false)
	}
}

func (m *Monitor) set(up bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.up == up {
		return
	}
	m.up = up
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Run tells the listeners, and calls probe again and again while the server is
// away, until ctx is done. Probe makes a request through [Monitor.Transport].
func (m *Monitor) Run(ctx context.Context, probe func(context.Context)) {
	told, first := false, true
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
		case <-timer.C:
			if !m.Reachable() {
				probe(ctx)
			}
		}
		up := m.Reachable()
		if up != told || first {
			told, first = up, false
			for _, f := range m.listeners {
				f(up)
			}
		}
		if !up {
			// Jitter: a cluster's agents must not come back in step.
			timer.Reset(probeInterval/2 + rand.N(probeInterval))
		}
	}
}
