package publish

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// How long a report took is told once it is written, and only then.
func TestPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAPI()
		var mu sync.Mutex
		var told []time.Duration
		p := New(Options{Node: "a", API: f, Logger: slog.New(slog.DiscardHandler), Published: func(took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, took)
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = p.Run(ctx) })
		<-p.Synced()
		step := func(what string, want ...time.Duration) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Errorf("%s: told of %v, want %v", what, told, want)
			}
			told = nil
		}
		d := numbered(1)
		p.DeviceChanged(d)
		step("no report, as after a restart")
		d.ReportedAt = time.Now().Add(-3 * time.Second)
		p.DeviceGone(d)
		step("gone", 3*time.Second)
		d.ReportedAt = time.Now().Add(-2 * time.Second)
		p.DeviceChanged(d)
		step("back", 2*time.Second)

		// The first report that is not written yet counts, not the last.
		other := numbered(2)
		f.setAway(true)
		other.ReportedAt = time.Now()
		p.DeviceChanged(other)
		time.Sleep(time.Minute)
		other.ReportedAt = time.Now()
		p.DeviceChanged(other)
		step("the API server is away")
		f.setAway(false)
		p.APIReachable(true)
		step("it is back", time.Minute)
		cancel()
		running.Wait()
	})
}
