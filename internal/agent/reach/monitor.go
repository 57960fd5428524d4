package reach

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// probeInterval is about how often a server that does not answer is probed.
const probeInterval = time.Second

// Monitor learns from the agent's requests whether a server answers. The zero
// value is not usable; see [NewMonitor].
type Monitor struct {
	listeners []func(up bool)

	mu sync.Mutex
	up bool
	// changed holds one value when up may have changed.
	changed chan struct{}
}

var _ Party = (*Monitor)(nil)

// NewMonitor returns a Monitor of a server that counts as unreachable until it
// answers.
func NewMonitor() *Monitor { return &Monitor{changed: make(chan struct{}, 1)} }

// Reachable implements [Party]: it tells whether the server answered the last
// request that has ended.
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

// note learns from one request.
func (m *Monitor) note(req *http.Request, resp *http.Response, err error) {
	switch {
	case err == nil:
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			m.set(false)
		case http.StatusInternalServerError:
			// It may be a failing webhook: that says nothing about the server.
		default:
			m.set(true)
		}
	case errors.Is(req.Context().Err(), context.Canceled):
		// the caller ended the request
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

// Run tells the listeners, and calls probe repeatedly while the server does not
// answer, until ctx is done. probe makes a request through [Monitor.Transport].
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
