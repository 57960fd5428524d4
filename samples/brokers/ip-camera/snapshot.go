package main

import (
	"context"
	"fmt"
	"time"

	"github.com/akri-go/akri/internal/onvif/soap"
	"github.com/akri-go/akri/samples/camera"
)

const (
	// callTimeout is how long one call of the camera may take.
	callTimeout = 5 * time.Second
	// maxBadPictures is how many answers in a row may be no picture before the camera
	// is asked anew where its pictures are.
	maxBadPictures = 5
)

// snapshots gets one picture after the other over HTTP, each at least interval
// after the one before.
func snapshots(ctx context.Context, t soap.Target, o soap.Options, interval time.Duration, put func([]byte) error) error {
	client := soap.NewClient(t, o)
	defer client.Close()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for bad := 0; ; {
		picture, err := client.Get(ctx, camera.MaxFrameBytes)
		if err != nil {
			return fmt.Errorf("get a snapshot from %s: %w", withoutUser(t.URL), err)
		}
		if err := put(picture); err == nil {
			bad = 0
		} else if bad++; bad == maxBadPictures {
			return fmt.Errorf("%s: %d snapshots in a row are no pictures: %w", withoutUser(t.URL), bad, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
