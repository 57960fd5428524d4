package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/dashboard/feed"
	"github.com/akri-go/akri/internal/dashboard/follow"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/explain/snapshot"
	"github.com/akri-go/akri/internal/probes"
)

// Options configure a dashboard.
type Options struct {
	Config *rest.Config
	// Address is where the page is. Without a token it must be on the loopback.
	Address string
	// TokenFile has what a person must know to look; "" means that whoever reaches
	// the address may.
	TokenFile string
	// Namespace is shown of what may not be read in all namespaces; "" for none.
	Namespace string
	// ProbeAddress is where /healthz, /readyz and /metrics are; "" for nowhere.
	ProbeAddress string
	Log          *slog.Logger
}

// Run watches the cluster and serves the page until ctx is done.
func Run(ctx context.Context, o Options) error {
	d, err := New(ctx, o)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// Dashboard is a dashboard that listens.
type Dashboard struct {
	Options
	listener *bounded.Listener
	follower *follow.Follower
	keeper   *keeper
	handler  http.Handler
}

// New listens.
func New(ctx context.Context, o Options) (*Dashboard, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	api, now, err := snapshot.Client(o.Config)
	if err != nil {
		return nil, err
	}
	d := &Dashboard{Options: o}
	if d.follower, err = follow.New(api, now, o.Namespace, o.Log); err != nil {
		return nil, err
	}
	d.keeper = &keeper{source: d.follower, feed: feed.New(maxViewers), log: o.Log}
	if d.handler, err = handler(d.keeper, &access{tokenFile: o.TokenFile, log: o.Log}); err != nil {
		return nil, err
	}
	// Every browser has a connection open all the time. Behind a forwarded port or an
	// ingress all are one peer.
	limits := bounded.Limits{Connections: 4 * maxViewers, PerPeer: 4 * maxViewers}
	if d.listener, err = bounded.Listen(ctx, o.Address, limits); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return d, nil
}

// Check refuses to show the cluster to everybody. It needs no cluster.
func (o Options) Check() error {
	if o.TokenFile != "" {
		_, err := readToken(o.TokenFile)
		return err
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return exitcode.Usagef("address %q: %w", o.Address, err)
	}
	if !loopback(host) {
		return exitcode.Usagef("address %s can be reached by others: give a token, or listen on 127.0.0.1", o.Address)
	}
	return nil
}

// Addr is where it listens.
func (d *Dashboard) Addr() net.Addr { return d.listener.Addr() }

// Run serves until ctx is done.
func (d *Dashboard) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if d.ProbeAddress != "" {
		registry, err := newRegistry(d.follower, d.keeper.feed)
		if err != nil {
			return err
		}
		group.Go(func() error {
			return probes.Serve(ctx, probes.Options{Address: d.ProbeAddress, Ready: d.follower.Ready,
				Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})})
		})
	}
	group.Go(func() error { d.follower.Run(ctx); return nil })
	group.Go(func() error { d.keeper.run(ctx); return nil })
	d.Log.Info("dashboard is served", "address", d.Addr().String(), "token", d.TokenFile != "")
	group.Go(func() error {
		return bounded.Serve(ctx, d.listener, &http.Server{
			Handler: d.handler, BaseContext: func(net.Listener) context.Context { return ctx },
		})
	})
	return group.Wait()
}
