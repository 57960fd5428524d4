// Command video-streaming serves a page with the pictures of cameras: a large one,
// from the Service of a Configuration, and one for each camera, from those of its
// Instances. Cameras come and go while the page is open.
//
// It gets pictures from brokers that serve camera.Camera, ours or upstream's, and
// only while somebody looks. It listens on port 5000 (PORT). All settings are
// environment variables; its README lists them.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		slog.Error("video-streaming failed", "error", err)
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
	h := newHub(ctx, s.perSecond, log)
	defer h.close()
	group, ctx := errgroup.WithContext(ctx)
	if s.configuration == "" {
		h.set(s.cameras, nil)
	} else {
		cfg, err := kubeconfig.Load("")
		if err != nil {
			return err
		}
		group.Go(func() error { return watch(ctx, cfg, s, h.set, log) })
	}
	log.Info("page is served", "address", listener.Addr().String())
	page, err := handler(h)
	if err != nil {
		return err
	}
	group.Go(func() error { return pages.Serve(ctx, listener, page) })
	return group.Wait()
}
