// Command devices serves a live page of what Akri has found: Configurations,
// their Instances, who uses their slots, and what each broker answers.
//
// While somebody has the page open, it reads the cluster once a second, with
// its Pod's service account, which may only read (see devices.yaml). It gets
// /api/devices, which the sample broker serves, from the brokers through their
// Services. It listens on port 5000 (PORT).
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/akri-go/akri/bounded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		slog.Error("devices app failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bounded.Memory(os.Getenv)
	port := os.Getenv("PORT")
	if port == "" {
		port = "5000"
	}
	api, err := inCluster()
	if err != nil {
		return err
	}
	// Every viewer has a connection open, and behind an ingress all are one peer.
	listener, err := bounded.Listen(ctx, ":"+port, bounded.Limits{Connections: 2 * maxViewers, PerPeer: maxViewers})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	f := newFeed(func(ctx context.Context) State { return look(ctx, api, askBroker) }, time.Second)
	slog.Info("devices app serves", "address", listener.Addr().String())
	return bounded.Serve(ctx, listener, &http.Server{
		Handler: handler(f), BaseContext: func(net.Listener) context.Context { return ctx },
	})
}
