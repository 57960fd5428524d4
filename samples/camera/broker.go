package camera

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
)

// Broker is a broker for one camera: it follows the camera, and serves what it
// shows.
type Broker struct {
	Source Source
	// Camera is what the camera is called.
	Camera string
	// Silence, Start and Retry are as of [Follower].
	Silence, Start time.Duration
	Retry          backoff.Backoff
	// Address and ProbesAddress are those of pictures, and of metrics and probes:
	// upstream's brokers have :8083 and :8080.
	Address, ProbesAddress string
	Log                    *slog.Logger
}

// Run runs until ctx is done.
func (b *Broker) Run(ctx context.Context) error {
	listener, err := bounded.Listen(ctx, b.Address, bounded.Limits{})
	if err != nil {
		return fmt.Errorf("serve pictures (PORT): %w", err)
	}
	return b.RunAt(ctx, listener)
}

// RunAt is Run with a listener for pictures.
func (b *Broker) RunAt(ctx context.Context, listener *bounded.Listener) error {
	latest := new(Latest)
	metrics := NewMetrics(latest)
	server := &Server{Latest: latest, Metrics: metrics, Camera: b.Camera, ProbesAddress: b.ProbesAddress, Log: b.Log}
	follower := &Follower{Source: b.Source, Latest: latest, Metrics: metrics, Camera: b.Camera,
		Silence: b.Silence, Start: b.Start, Retry: b.Retry, Log: b.Log}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, listener) })
	group.Go(func() error {
		follower.Run(ctx)
		return nil
	})
	return group.Wait()
}
