package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/probes"
)

// Of an API server that may be away: askTimeout bounds one question, and is enough
// for one that is busy. The first is bounded by firstTimeout, since meanwhile no
// probes are served.
const (
	askTimeout   = 15 * time.Second
	firstTimeout = 5 * time.Second
)

// AwaitAPIServer returns when the API server answers what a manager begins with
// (GET /api and /apis), or with the error of ctx. Meanwhile the probes of a
// replica are served, which is alive and not ready: one that ended instead would
// be started again by the kubelet ever more rarely, and be missed for up to five
// minutes after the API server is back.
func AwaitAPIServer(ctx context.Context, o Options) error {
	cfg := rest.CopyConfig(o.Config)
	cfg.Timeout = askTimeout
	client, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("set up a client of the API server: %w", err)
	}
	ask := func(ctx context.Context) error {
		if _, err := client.ServerGroupsWithContext(ctx); err != nil {
			return fmt.Errorf("the API server does not answer: %w", err)
		}
		return nil
	}
	first, cancel := context.WithTimeout(ctx, firstTimeout)
	err = ask(first)
	cancel()
	if err == nil {
		return nil
	}
	stop, err := serveMeanwhile(ctx, o.ProbeAddress)
	if err != nil {
		return err
	}
	problem := logging.Problem{What: "cannot start yet"}
	retry := backoff.Backoff{First: 100 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.5}
	for failures := 1; ; failures++ {
		err := ask(ctx)
		problem.Is(o.Log, err)
		if err == nil {
			return stop()
		}
		if err := backoff.Sleep(ctx, retry.Delay(failures)); err != nil {
			return errors.Join(err, stop())
		}
	}
}

// serveMeanwhile serves probes of a replica that is not ready, until stop is
// called; their address is free then.
func serveMeanwhile(ctx context.Context, address string) (stop func() error, err error) {
	if address == "" || address == nowhere {
		return func() error { return nil }, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		served <- probes.Serve(ctx, probes.Options{Address: address, Ready: func() error {
			return errors.New("the API server has not answered yet")
		}})
	}()
	return func() error { cancel(); return <-served }, nil
}
