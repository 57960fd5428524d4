package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/cloud/cloudhub/join"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/edgecontroller"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/probes"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/version"
)

// again is when it is tried again to begin.
var again = backoff.Backoff{First: 200 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.5}

// namespaceFile is where a Pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Options are for [Run].
type Options struct {
	Config
	API *rest.Config
	Log *slog.Logger
	// Listening, if not nil, is called with the addresses of hub and join server
	// when both listen.
	Listening func(hub, join string)
}

// core is a running cloudcore.
type core struct {
	Options
	keeper     *trust.Keeper
	controller *edgecontroller.Controller
	hub        *cloudhub.Hub
	join       *join.Server
	trusted    atomic.Bool // the certificates have been read
}

// Run is cloudcore until ctx is done. Edge nodes are told that it ends.
func Run(ctx context.Context, o Options) error {
	c, registry, err := assemble(o)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	// The controller ends after the sessions, and the probes last of all.
	last, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	after, ended := context.WithCancel(last)
	defer ended()
	g.Go(func() error {
		return probes.Serve(last, probes.Options{
			Address: o.Health.Address, Ready: c.ready, Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		})
	})
	g.Go(func() error {
		defer done()
		return c.controller.Run(after)
	})
	g.Go(func() error {
		defer ended()
		return c.serve(ctx)
	})
	return g.Wait()
}

// assemble makes the parts.
func assemble(o Options) (*core, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	namespace, err := namespaceOf(o.Kubernetes.Namespace)
	if err != nil {
		return nil, nil, err
	}
	client, err := kube.New(o.API)
	if err != nil {
		return nil, nil, err
	}
	secret, err := trust.NewCluster(o.API, namespace, o.Kubernetes.Secret)
	if err != nil {
		return nil, nil, err
	}
	cache, err := quantity(o.Controller.Cache)
	if err != nil {
		return nil, nil, fmt.Errorf("controller.cache: %w", err)
	}
	rate, err := quantity(o.Hub.BytesPerSecond)
	if err != nil {
		return nil, nil, fmt.Errorf("hub.bytesPerSecond: %w", err)
	}
	c := &core{Options: o, keeper: trust.New(secret, secret, o.Log)}
	if c.controller, err = edgecontroller.New(edgecontroller.Options{
		Client: client, Log: o.Log, Registerer: registry, Autonomy: o.Controller.Autonomy,
		MaxObjects: o.Controller.MaxObjects, MaxWatches: o.Controller.MaxWatches, CacheBytes: cache, LeaseInterval: o.Controller.LeaseRenewInterval.Duration,
	}); err != nil {
		return nil, nil, err
	}
	if c.hub, err = cloudhub.New(cloudhub.Options{
		Authority: c.keeper, Controller: c.controller, Twins: c.controller.Twins, Version: version.String(), Log: o.Log, Registerer: registry,
		Limits:  cloudhub.Limits{Sessions: o.Hub.MaxNodes, BytesPerSecond: int(rate)},
		Session: session.Options{PingInterval: o.Hub.PingInterval.Duration},
	}); err != nil {
		return nil, nil, err
	}
	c.join, err = join.New(join.Options{Keeper: c.keeper, Kubernetes: client.Kubernetes, Registerer: registry, Log: o.Log})
	return c, registry, err
}

// namespaceOf returns the namespace of the Secret.
func namespaceOf(set string) (string, error) {
	if set != "" {
		return set, nil
	}
	text, err := os.ReadFile(namespaceFile)
	if err != nil {
		return "", errors.New("in which namespace is the Secret? Set POD_NAMESPACE, --namespace or kubernetes.namespace")
	}
	return strings.TrimSpace(string(text)), nil
}

// serve serves edge nodes until ctx is done.
func (c *core) serve(ctx context.Context) error {
	if err := c.trust(ctx); err != nil {
		return nil // it was told to end
	}
	hub, err := c.hub.Listen(ctx, c.Hub.Address)
	if err != nil {
		return fmt.Errorf("listen for edge nodes (hub.address): %w", err)
	}
	certificates, err := bounded.Listen(ctx, c.Join.Address, bounded.Limits{})
	if err != nil {
		hub.Close()
		return fmt.Errorf("listen for nodes that join (join.address): %w", err)
	}
	if c.Listening != nil {
		c.Listening(hub.Addr().String(), certificates.Addr().String())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.keeper.Run(ctx) })
	g.Go(func() error { return c.hub.Serve(ctx, hub) })
	g.Go(func() error { return c.join.Serve(ctx, certificates) })
	return g.Wait()
}

// trust reads the certificates, as often as it takes. Meanwhile the replica is
// alive and not ready.
func (c *core) trust(ctx context.Context) error {
	problem := logging.Problem{What: "cannot start yet"}
	for failures := 1; ; failures++ {
		err := c.keeper.Refresh(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		problem.Is(c.Log, err)
		if err == nil {
			c.trusted.Store(true)
			return nil
		}
		if err := backoff.Sleep(ctx, again.Delay(failures)); err != nil {
			return err
		}
	}
}

// ready returns why edge nodes cannot be served yet.
func (c *core) ready() error {
	if !c.trusted.Load() {
		return errors.New("the certificates have not been read yet")
	}
	return c.controller.Ready()
}
