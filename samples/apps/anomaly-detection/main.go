// Command anomaly-detection serves a page with the values of OPC UA servers, as the
// brokers of a Configuration's Instances give them, and marks those that stand out
// by their local outlier factor.
//
// It works with our brokers and with upstream's. It listens on port 5000 (PORT).
// All settings are environment variables; its README lists them.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/samples/pages"
	"github.com/akri-go/akri/samples/services"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		slog.Error("anomaly-detection failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bounded.Memory(os.Getenv)
	log, err := logging.New(os.Stderr, os.Getenv("LOG_LEVEL"))
	if err != nil {
		return err
	}
	s, err := parse(os.Getenv)
	if err != nil {
		return err
	}
	listener, err := pages.Listen(ctx, ":"+s.port)
	if err != nil {
		return fmt.Errorf("listen (PORT): %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	h := newHub(ctx, s.training, log)
	defer h.close()
	h.set(s.brokers, nil)
	if s.configuration != "" {
		cfg, err := kubeconfig.Load("")
		if err != nil {
			return err
		}
		group.Go(func() error { return services.Watch(ctx, cfg, s.namespace, s.configuration, h.watched, log) })
	}
	log.Info("page is served", "address", listener.Addr().String())
	group.Go(func() error {
		h.run(ctx)
		return nil
	})
	page, err := handler(h)
	if err != nil {
		return err
	}
	group.Go(func() error { return pages.Serve(ctx, listener, page) })
	return group.Wait()
}
