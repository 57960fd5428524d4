package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/logging"
)

// Source gets pictures from a camera and puts each, until ctx is done or it fails.
// What put returns says that a picture is none; the source may go on. Put keeps the
// bytes.
type Source func(ctx context.Context, put func(jpeg []byte) error) error

// errSilent ends a source that gives no pictures.
var errSilent = errors.New("no picture has come for too long")

// Follower keeps a [Latest] fed by a [Source], which it starts again when it fails.
type Follower struct {
	Source  Source
	Latest  *Latest
	Metrics *Metrics
	// Camera is what the camera is called.
	Camera string
	// Silence is how long no picture may come before the source is started again;
	// 10 s if 0. Start is how long the first one may take; Silence if 0.
	Silence, Start time.Duration
	// Retry is how long is waited after failures; from 1 to 30 s if zero.
	Retry backoff.Backoff
	Log   *slog.Logger
}

// Run follows the camera until ctx is done.
func (f *Follower) Run(ctx context.Context) {
	if f.Silence == 0 {
		f.Silence = 10 * time.Second
	}
	if f.Start == 0 {
		f.Start = f.Silence
	}
	if f.Retry == (backoff.Backoff{}) {
		f.Retry = backoff.Backoff{First: time.Second, Max: 30 * time.Second, Jitter: 0.25}
	}
	problem := logging.Problem{What: "the camera gives no pictures; it is tried again"}
	refused := logging.Problem{What: "the camera sends something that is no picture"}
	for failures := 0; ctx.Err() == nil; {
		before := f.number()
		err := f.once(ctx, &problem, &refused)
		if f.number() > before {
			failures = 0
		}
		f.Metrics.connected(false)
		f.Latest.Clear()
		if ctx.Err() != nil {
			return
		}
		failures++
		f.Metrics.disconnects.Inc()
		problem.Is(f.Log, err)
		_ = backoff.Sleep(ctx, f.Retry.Delay(failures)) // the loop looks at ctx
	}
}

func (f *Follower) number() uint64 {
	last, _ := f.Latest.Last()
	return last.Number
}

// once runs the source once. The error says why it ended.
func (f *Follower) once(ctx context.Context, problem, refused *logging.Problem) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.Start, func() { cancel(errSilent) })
	defer watchdog.Stop()
	put := func(jpeg []byte) error {
		jpeg, err := f.take(jpeg)
		if err != nil {
			f.Metrics.refused.Inc()
			err = fmt.Errorf("%s: %w", f.Camera, err)
			refused.Is(f.Log, err)
			return err
		}
		watchdog.Reset(f.Silence)
		refused.Is(f.Log, nil)
		problem.Is(f.Log, nil)
		f.Metrics.connected(true)
		f.Metrics.received.Inc()
		f.Metrics.receivedBytes.Add(float64(len(jpeg)))
		return nil
	}
	err := f.Source(ctx, put)
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	if err == nil {
		err = errors.New("it has ended")
	}
	return err
}

func (f *Follower) take(jpeg []byte) ([]byte, error) {
	taken := time.Now()
	jpeg, err := Complete(jpeg)
	if err != nil {
		return nil, err
	}
	return jpeg, f.Latest.Put(f.Camera, jpeg, taken)
}
