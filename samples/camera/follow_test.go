package camera

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/internal/testlog"
)

// value reads a metric.
func value(t *testing.T, m *Metrics, name string) float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			one := f.GetMetric()[0]
			return one.GetCounter().GetValue() + one.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// A source is started again when it fails, when it is silent, and when it ends;
// longer each time as long as nothing comes.
func TestFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var starts []time.Duration
		jpeg := picture(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		runs := []func(ctx context.Context, put func([]byte) error) error{
			func(context.Context, func([]byte) error) error { return errors.New("out of order") },
			func(context.Context, func([]byte) error) error { return errors.New("out of order") },
			func(context.Context, func([]byte) error) error { return errors.New("out of order") },
			// Pictures, and then none.
			func(ctx context.Context, put func([]byte) error) error {
				for range 3 {
					time.Sleep(3 * time.Second)
					if err := put(jpeg); err != nil {
						t.Error(err)
					}
				}
				<-ctx.Done()
				return ctx.Err()
			},
			// What is no picture does not count as one.
			func(ctx context.Context, put func([]byte) error) error {
				for {
					select {
					case <-time.After(700 * time.Millisecond):
					case <-ctx.Done():
						return nil
					}
					if put([]byte("<html>")) == nil {
						t.Error("it takes anything")
					}
				}
			},
			func(ctx context.Context, put func([]byte) error) error { return put(jpeg) },
			func(ctx context.Context, _ func([]byte) error) error { <-ctx.Done(); return nil },
		}
		latest := new(Latest)
		var said testlog.Buffer
		f := &Follower{Latest: latest, Metrics: NewMetrics(latest), Camera: "c", Silence: 10 * time.Second, Start: 15 * time.Second,
			Log: slog.New(slog.NewTextHandler(&said, nil))}
		f.Retry.First, f.Retry.Max = time.Second, 4*time.Second
		f.Source = func(ctx context.Context, put func([]byte) error) error {
			starts = append(starts, time.Since(began))
			return runs[min(len(starts), len(runs))-1](ctx, put)
		}
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if last, ok := latest.Last(); !ok || last.Camera != "c" || value(t, f.Metrics, "cameras") != 1 {
			t.Errorf("while it gives pictures: %+v", last)
		}
		time.Sleep(time.Minute)
		cancel()
		<-done
		// 1, 2 and 4 s after failures; 9 s of pictures, 10 s of silence and 1 s; 15 s of
		// something else and 2 s, since nothing came; 0 s for one picture and 1 s.
		want := []time.Duration{0, 1, 3, 7, 27, 44, 45}
		for i := range want {
			want[i] *= time.Second
		}
		if len(starts) < len(want) {
			t.Fatalf("started at %v, want %v", starts, want)
		}
		for i := range want {
			if starts[i] != want[i] {
				t.Errorf("started at %v, want %v", starts, want)
				break
			}
		}
		if n := value(t, f.Metrics, "akri_camera_frames_received_total"); n != 4 {
			t.Errorf("%v pictures", n)
		}
		if _, ok := latest.Last(); ok {
			t.Error("there is a picture of a camera that is lost")
		}
		if n := strings.Count(said.String(), "out of order"); n != 1 {
			t.Errorf("that it is out of order is said %d times:\n%s", n, said.String())
		}
	})
}
