package camera

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// MaxFrameBytes is how large a picture may be. It fits into a message of gRPC,
// whose clients take 4 MiB by default, and is more than cameras of 4K send.
const MaxFrameBytes = 2 << 20

// Frame is one picture. Its bytes are shared and must not be changed.
type Frame struct {
	JPEG []byte
	// Camera is what the camera is called.
	Camera string
	// Number counts the pictures of a [Latest] from 1, also across cameras.
	Number uint64
	Taken  time.Time
}

// Latest has the newest frame. The zero value has none. It may be used by several
// goroutines.
type Latest struct {
	mu      sync.Mutex
	frame   Frame
	changed chan struct{}
}

// Put takes a picture, which must not be changed any more. It never waits.
func (l *Latest) Put(camera string, jpeg []byte, taken time.Time) error {
	if len(jpeg) == 0 || len(jpeg) > MaxFrameBytes {
		return fmt.Errorf("a picture of %d bytes: 1 to %d are taken", len(jpeg), MaxFrameBytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(Frame{JPEG: jpeg, Camera: camera, Taken: taken})
	return nil
}

// Clear forgets the frame: the camera is lost. Who waits for the next one is told
// at once.
func (l *Latest) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frame.JPEG != nil {
		l.set(Frame{})
	}
}

// set is called with mu held.
func (l *Latest) set(f Frame) {
	f.Number = l.frame.Number + 1
	l.frame = f
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Last returns the newest frame; false if there is none.
func (l *Latest) Last() (Frame, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frame, l.frame.JPEG != nil
}

// Next waits for what is newer than the frame of a number, 0 for any. The frame
// has no picture if the camera was lost. An error is that of ctx.
func (l *Latest) Next(ctx context.Context, after uint64) (Frame, error) {
	for {
		l.mu.Lock()
		if l.frame.Number > after {
			defer l.mu.Unlock()
			return l.frame, nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Frame{}, context.Cause(ctx)
		}
	}
}
