package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/samples/camera"
	"github.com/akri-go/akri/samples/camera/camerapb"
	"github.com/akri-go/akri/samples/services"
)

const (
	// turn is how long the main feed shows one broker. Then it connects anew, and the
	// Service chooses one.
	turn = 10 * time.Second
	// pollInterval is the time between two calls of brokers that have no streams:
	// upstream's.
	pollInterval = 100 * time.Millisecond
	callTimeout  = 10 * time.Second
	// lostAfter is how long no picture may come from a feed that is shown.
	lostAfter = 5 * time.Second
	// maxMessage is how large an answer of a broker may be, with a picture in it.
	maxMessage = camera.MaxFrameBytes + 4<<10
)

// retry is how long is waited for a broker that does not answer. It is short: who
// looks at the page has just plugged the camera in.
var retry = backoff.Backoff{First: 200 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.25}

// pause is how long a broker is left alone after some failures in a row. The broker
// of a camera that has just come may be there any moment.
func pause(s State, failures int) time.Duration {
	if s == Starting {
		failures = min(failures, 2)
	}
	return retry.Delay(failures)
}

// feed gets the pictures of one broker, or of several in turn, while somebody looks.
type feed struct {
	source source
	latest camera.Latest
	hub    *hub            // whose viewers are told
	gone   context.Context // done when the feed is removed
	remove context.CancelFunc
	group  *sync.WaitGroup // of all that is started

	mu       sync.Mutex
	viewers  int
	stop     context.CancelFunc // of follow; nil without viewers
	stopped  chan struct{}      // closed when follow has ended
	progress progress
}

// progress is what is known of a feed.
type progress struct {
	camera string    // what the broker calls it
	began  time.Time // since when it is followed
	came   time.Time // the last picture; zero if there was none
	reason string    // why there is none
}

// State is how a feed does.
type State string

// The states.
const (
	Starting State = "starting" // there was no picture yet
	Live     State = "live"
	Lost     State = "lost" // there were pictures, or it has started for too long
)

// startPatience is how long a feed may be starting.
const startPatience = 60 * time.Second

// state says how a feed does at a time.
func (p progress) state(now time.Time) State {
	switch {
	case !p.came.IsZero() && p.reason == "" && now.Sub(p.came) < lostAfter:
		return Live
	case p.came.IsZero() && now.Sub(p.began) < startPatience:
		return Starting
	}
	return Lost
}

// why says in a few words why no picture is shown at a time; "" while one is, or if
// it is not known yet.
func (p progress) why(now time.Time) string {
	switch state := p.state(now); {
	case state == Live:
		return ""
	case p.reason != "" || state == Starting:
		return p.reason
	case p.came.IsZero():
		return "no picture has come"
	}
	return "no picture comes any more"
}

// join has the feed followed. False says that it was removed.
func (f *feed) join() bool {
	begins, ok := f.enter()
	if begins {
		f.hub.changed()
	}
	return ok
}

func (f *feed) enter() (begins, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone.Err() != nil {
		return false, false
	}
	f.viewers++
	if begins = f.stop == nil; begins {
		f.progress = progress{camera: f.progress.camera, began: time.Now()}
		ctx, cancel := context.WithCancel(f.gone)
		stopped, before := make(chan struct{}), f.stopped
		f.stop, f.stopped = cancel, stopped
		f.group.Go(func() {
			defer close(stopped)
			if before != nil {
				<-before
			}
			f.follow(ctx)
		})
	}
	return begins, true
}

// leave ends what join began. The last viewer stops it.
func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.viewers--; f.viewers == 0 && f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

// now returns what is known of the feed.
func (f *feed) now() progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress
}

// follow gets pictures until ctx is done.
func (f *feed) follow(ctx context.Context) {
	defer f.latest.Clear()
	for failures := 0; ctx.Err() == nil; {
		before := f.now().came
		err := f.connect(ctx)
		if err == nil || f.now().came != before {
			failures = 0
		}
		if err == nil { // its turn is over
			continue
		}
		f.mu.Lock()
		f.progress.reason = reasonOf(err)
		f.mu.Unlock()
		f.hub.changed()
		failures++
		_ = backoff.Sleep(ctx, pause(f.now().state(time.Now()), failures)) // the loop looks at ctx
	}
}

// connect gets pictures over one connection. Nil says that its turn is over.
func (f *feed) connect(ctx context.Context) error {
	conn, err := services.Dial(f.source.address, maxMessage)
	if err != nil {
		return err
	}
	defer conn.Close()
	if f.source.id == mainID {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, turn, errTurn)
		defer cancel()
	}
	client := camerapb.NewCameraClient(conn)
	err = f.stream(ctx, client)
	if status.Code(err) == codes.Unimplemented {
		err = f.poll(ctx, client)
	}
	if errors.Is(context.Cause(ctx), errTurn) {
		return nil
	}
	return err
}

var errTurn = errors.New("its turn is over")

// stream gets pictures as they come.
func (f *feed) stream(ctx context.Context, client camerapb.CameraClient) error {
	stream, err := client.StreamFrames(ctx, &camerapb.NotifyRequest{})
	for err == nil {
		var m *camerapb.NotifyResponse
		if m, err = stream.Recv(); err == nil {
			err = f.take(m)
		}
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the broker has ended")
	}
	return err
}

// poll asks for one picture after the other. Some brokers send the same one again
// if there is no other.
func (f *feed) poll(ctx context.Context, client camerapb.CameraClient) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last []byte
	for {
		calling, cancel := context.WithTimeout(ctx, callTimeout)
		m, err := client.GetFrame(calling, &camerapb.NotifyRequest{})
		cancel()
		if err != nil {
			return err
		}
		if last == nil || !bytes.Equal(m.GetFrame(), last) {
			if err := f.take(m); err != nil {
				return err
			}
			last = m.GetFrame()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes a picture, or that there is none.
func (f *feed) take(m *camerapb.NotifyResponse) error {
	now := time.Now()
	if len(m.GetFrame()) == 0 {
		f.latest.Clear()
		f.mu.Lock()
		f.progress.reason = "the broker has no picture of the camera"
		f.mu.Unlock()
		f.hub.changed()
		return nil
	}
	jpeg, err := camera.Complete(m.GetFrame())
	if err != nil {
		return fmt.Errorf("the broker sends something that is no picture: %w", err)
	}
	taken := now
	if us := m.GetTakenUs(); us > 0 {
		taken = time.UnixMicro(us)
	}
	if err := f.latest.Put(m.GetCamera(), jpeg, taken); err != nil {
		return err
	}
	f.mu.Lock()
	before := f.progress
	f.progress.came, f.progress.reason, f.progress.camera = now, "", m.GetCamera()
	shown := before.state(now) == Live && before.camera == m.GetCamera()
	f.mu.Unlock()
	if shown {
		f.hub.viewers.Wake()
	} else {
		f.hub.changed()
	}
	return nil
}

// reasonOf says in a few words why there is no picture.
func reasonOf(err error) string {
	switch status.Code(err) {
	case codes.Unavailable:
		return "the broker does not answer"
	case codes.DeadlineExceeded:
		return "the broker is too slow"
	case codes.Unimplemented:
		return "what answers is no broker for cameras"
	case codes.ResourceExhausted:
		return "the broker's pictures are too large"
	case codes.Unknown: // not of gRPC
		return err.Error()
	}
	return "the broker answers with an error: " + status.Code(err).String()
}
