// Package kubeclient is the agent's small client of the API server.
//
// It speaks of Configurations, Instances and Events, in JSON, and of nothing
// else: a clientset or a dynamic informer would cost more memory than all the
// rest of the agent. What is kept of watched objects is trimmed.
//
// Nothing here assumes that the API server answers. Requests end after
// [RequestTimeout]; watches resume by themselves; [Client.Reachable] says how
// it is now, and [Client.OnReachable] tells of changes.
package kubeclient

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/reach"
)

const (
	// RequestTimeout bounds every request but watches.
	RequestTimeout = 15 * time.Second
	// shortTimeout bounds those that are of no use if they are late.
	shortTimeout = 5 * time.Second
)

// Client talks to one API server. Its methods may be called by several
// goroutines.
type Client struct {
	rest    rest.Interface
	params  runtime.ParameterCodec
	monitor *reach.Monitor
	log     *slog.Logger
}

var _ reach.Party = (*Client)(nil)

// New returns a client; [Client.Run] must run for Reachable to be kept true.
// The rate limit of cfg is taken out: callers bound what they send.
func New(cfg *rest.Config, log *slog.Logger) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := v0.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register akri.sh/v0: %w", err)
	}
	monitor := reach.NewMonitor()
	cfg = rest.CopyConfig(cfg)
	gv := v0.GroupVersion
	cfg.GroupVersion = &gv
	cfg.APIPath = "/apis"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	cfg.ContentConfig.ContentType = runtime.ContentTypeJSON
	cfg.ContentConfig.AcceptContentTypes = runtime.ContentTypeJSON
	cfg.QPS, cfg.RateLimiter = -1, nil
	cfg.Timeout = 0 // it would end watches too
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return monitor.Transport(next) })
	c, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", cfg.Host, err)
	}
	return &Client{rest: c, params: runtime.NewParameterCodec(scheme), monitor: monitor, log: log}, nil
}

// Reachable tells whether the API server answered the last request that had an
// outcome. It is false until the first answer.
func (c *Client) Reachable() bool { return c.monitor.Reachable() }

// OnReachable calls f, from [Client.Run], with what Reachable says at the start
// and after each change. Quick changes may be told as one. It must be called
// before Run; f must return soon.
func (c *Client) OnReachable(f func(bool)) { c.monitor.OnReachable(f) }

// Run asks an API server that does not answer, again and again, until it does,
// and tells the listeners. It returns nil once ctx is done.
func (c *Client) Run(ctx context.Context) error {
	c.monitor.Run(ctx, func(ctx context.Context) {
		ctx, cancel := withTimeout(ctx, shortTimeout)
		defer cancel()
		if err := c.Ping(ctx); err != nil {
			c.log.Debug("API server probed", "error", err)
		}
	})
	return nil
}

// Ping makes a request that needs more of the API server than a listening
// socket: a read of what the agent lives on.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.rest.Get().Resource(v0.ConfigurationsResource).Param("limit", "1").DoRaw(ctx)
	return err
}

// withTimeout limits a request in time. Client-go's own words about it are dropped:
// what matters of an error is in the error.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(klog.NewContext(ctx, logr.Discard()), timeout)
}
