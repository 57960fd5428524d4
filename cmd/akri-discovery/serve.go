package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/probes"
)

// againBackoff is for a handler that cannot be served while others are. It is
// about the kubelet's, which starts a process again that has ended.
var againBackoff = backoff.Backoff{First: time.Second, Max: 5 * time.Minute}

// serve runs the handlers, metrics and probes until ctx is done. An error means
// that none of the handlers can be served, or that the port cannot be had.
func serve(
	ctx context.Context, s settings, handlers []discovery.Handler, log *slog.Logger, metrics *handlermetrics.Metrics,
) error {
	opts := []discovery.Option{
		discovery.WithDirectory(s.directory), discovery.WithPort(s.port), discovery.WithLogger(log),
	}
	if s.address != "" {
		opts = append(opts, discovery.WithAddress(s.address))
	}
	state := newCondition(handlers)
	group, ctx := errgroup.WithContext(ctx)
	for _, h := range handlers {
		group.Go(func() error { return state.serve(ctx, h, log, opts) })
	}
	if s.metricsPort != 0 {
		group.Go(func() error {
			return probes.Serve(ctx, probes.Options{
				Address: net.JoinHostPort("", strconv.Itoa(s.metricsPort)),
				Metrics: http.Handler(metrics),
				Ready:   state.ready,
			})
		})
	}
	return group.Wait()
}

// condition is how the handlers of the process are.
type condition struct {
	mu    sync.Mutex
	names []string
	of    map[string]*handlerCondition
}

type handlerCondition struct {
	accepted bool  // by an agent
	failed   error // why it could not be served, until an agent has accepted it
}

func newCondition(handlers []discovery.Handler) *condition {
	c := &condition{of: map[string]*handlerCondition{}}
	for _, h := range handlers {
		c.names = append(c.names, h.Name())
		c.of[h.Name()] = &handlerCondition{}
	}
	return c
}

// serve serves a handler until ctx is done. While it cannot be served it is tried
// again; it returns the error when that is so of all.
func (c *condition) serve(ctx context.Context, h discovery.Handler, log *slog.Logger, opts []discovery.Option) error {
	log = log.With("handler", h.Name())
	opts = append(opts[:len(opts):len(opts)], discovery.WithRegistered(func() { c.accepted(h.Name()) }))
	for failures, told := 1, ""; ; failures++ {
		err := discovery.Serve(ctx, h, opts...)
		if err == nil || c.fail(h.Name(), err) {
			return err
		}
		if text := err.Error(); text != told {
			told = text
			log.Error("the handler is not served; trying again, while others go on", "error", err)
		}
		timer := time.NewTimer(againBackoff.Delay(failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (c *condition) accepted(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.of[name] = handlerCondition{accepted: true}
}

// fail notes that a handler cannot be served, and tells whether none can.
func (c *condition) fail(name string, err error) (all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.of[name] = handlerCondition{failed: err}
	for _, h := range c.of {
		if h.failed == nil {
			return false
		}
	}
	return true
}

// ready returns why not all handlers do their work.
func (c *condition) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []error
	for _, name := range c.names {
		switch h := c.of[name]; {
		case h.failed != nil:
			all = append(all, h.failed)
		case !h.accepted:
			all = append(all, fmt.Errorf("no agent has accepted the handler %s yet; the log says why", name))
		}
	}
	return errors.Join(all...)
}
