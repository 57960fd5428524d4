// Package kubeclient is the agent's small client of the API server.
//
// It only knows Configurations, Instances, Events and Leases, in JSON: a
// clientset or a dynamic informer would take more memory than the rest of the
// agent. Watched objects are trimmed before they are kept.
//
// Nothing here assumes that the API server answers. Requests time out after
// [RequestTimeout] and watches resume by themselves. [Client.Reachable] tells
// whether the server answers, and [Client.OnReachable] tells of changes.
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
	// shortTimeout bounds requests that are of no use if they are late.
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

// New returns a client. [Client.Run] must run so that Reachable is up to date.
// The rate limit of cfg is removed: callers bound what they send.
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

// OnReachable makes [Client.Run] call f with what Reachable returns, at the
// start and after each change. Quick changes may be told as one. It must be
// called before Run; f must return soon.
func (c *Client) OnReachable(f func(bool)) { c.monitor.OnReachable(f) }

// Run pings an API server that does not answer until it does, and tells the
// listeners. It returns nil once ctx is done.
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

// Ping makes a request that needs a working API server, not only a listening
// socket: it reads a Configuration.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.rest.Get().Resource(v0.ConfigurationsResource).Param("limit", "1").DoRaw(ctx)
	return err
}

// withTimeout bounds a request in time. It also silences client-go's log: what
// matters is in the error.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(klog.NewContext(ctx, logr.Discard()), timeout)
}
