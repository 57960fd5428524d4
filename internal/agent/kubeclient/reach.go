package kubeclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	probeTimeout  = 5 * time.Second
	probeInterval = time.Second
)

// reach knows from the requests that pass whether the API server answers.
type reach struct {
	listeners []func(bool)

	mu    sync.Mutex
	state bool
	// changed has room for one: the state may have changed.
	changed chan struct{}
}

func newReach() *reach { return &reach{changed: make(chan struct{}, 1)} }

func (r *reach) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *reach) set(up bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == up {
		return
	}
	r.state = up
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// note draws the conclusion from one request.
func (r *reach) note(req *http.Request, resp *http.Response, err error) {
	switch {
	case err == nil:
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			r.set(false)
		case http.StatusInternalServerError:
			// As likely a webhook that fails as a server that does: says nothing.
		default:
			r.set(true)
		}
	case errors.Is(req.Context().Err(), context.Canceled):
		// the caller lost interest
	default:
		r.set(false)
	}
}

func (r *reach) transport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		r.note(req, resp, err)
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// run tells the listeners and probes while the server is away.
func (r *reach) run(ctx context.Context, probe func(context.Context)) {
	told, first := false, true
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-timer.C:
			if !r.up() {
				probe(ctx)
			}
		}
		up := r.up()
		if up != told || first {
			told, first = up, false
			for _, f := range r.listeners {
				f(up)
			}
		}
		if !up {
			// Jitter: a cluster's agents must not come back in step.
			timer.Reset(probeInterval/2 + rand.N(probeInterval))
		}
	}
}
