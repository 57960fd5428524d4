package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/samples/brokers"
)

// broker follows the value of a server's node, and serves it.
type broker struct {
	settings settings
	log      *slog.Logger
	// retry is how long is waited after failures.
	retry backoff.Backoff
	// latest has the newest reading, which may be that there is none.
	latest  *brokers.Latest[reading]
	metrics *metrics
}

// errNone is why there is no value when the broker has just begun.
var errNone = errors.New("no value has come yet")

func newBroker(s settings, log *slog.Logger) *broker {
	latest := new(brokers.Latest[reading])
	latest.Put(reading{err: errNone})
	return &broker{settings: s, log: log, latest: latest, metrics: newMetrics(latest),
		retry: backoff.Backoff{First: time.Second, Max: 30 * time.Second, Jitter: 0.25}}
}

// run runs until ctx is done.
func (b *broker) run(ctx context.Context, listener *bounded.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.serve(ctx, listener) })
	group.Go(func() error {
		b.follow(ctx)
		return nil
	})
	return group.Wait()
}

// follow follows the node until ctx is done, and begins again whenever that fails.
func (b *broker) follow(ctx context.Context) {
	problem := logging.Problem{What: "the server gives no values; it is tried again"}
	none := logging.Problem{What: "the node has no value that can be served"}
	for failures := 0; ctx.Err() == nil; {
		err := b.watch(ctx, func(r reading) {
			failures = 0
			problem.Is(b.log, nil)
			none.Is(b.log, r.err)
			b.metrics.received.Inc()
			b.metrics.connected.Set(1)
			b.latest.Put(r)
		})
		b.metrics.connected.Set(0)
		b.latest.Put(reading{err: err})
		if ctx.Err() != nil {
			return
		}
		failures++
		b.metrics.disconnects.Inc()
		problem.Is(b.log, err)
		_ = backoff.Sleep(ctx, b.retry.Delay(failures)) // the loop looks at ctx
	}
}

// watch connects once, and tells of values until that ends. The error says why.
func (b *broker) watch(ctx context.Context, tell func(reading)) error {
	s := b.settings
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The setup has a time of its own, and what follows has none.
	timer := time.AfterFunc(setupTimeout, func() { cancel(errors.New("the server takes too long")) })
	defer timer.Stop()
	p, err := readPKI(s.pki, s.pfxPassword) // each time: the kubelet renews them
	if err != nil {
		return err
	}
	offered, err := endpoints(ctx, s.url)
	if err != nil {
		return reason(ctx, err)
	}
	e, err := choose(offered, p != nil)
	if err != nil {
		return err
	}
	if p != nil {
		leaf, err := p.trusts(e.ServerCertificate, s.application, s.url, time.Now())
		if err != nil {
			return err
		}
		e.ServerCertificate = leaf.Raw
	}
	c, err := open(ctx, s.url, e, p, s.lifetime)
	if err != nil {
		return reason(ctx, err)
	}
	defer c.close()
	session, err := login(ctx, c, e, p, s.username, s.password)
	if err != nil {
		return reason(ctx, err)
	}
	defer session.logout()
	b.log.Info("connected", "server", s.url, "policy", policyName(e.SecurityPolicyURI), "node", s.node.String())
	err = session.follow(ctx, s.node, s.interval, func(v *ua.DataValue) {
		timer.Stop()
		tell(read(v, time.Now()))
	})
	return reason(ctx, err)
}

// reason returns why ctx was cancelled, if it was, or else the error.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}
