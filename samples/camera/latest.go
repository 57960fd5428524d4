package camera

import (
	"context"
	"fmt"
	"time"

	"github.com/akri-go/akri/samples/brokers"
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
type Latest struct{ frames brokers.Latest[Frame] }

// Put takes a picture, which must not be changed any more. It never waits.
func (l *Latest) Put(camera string, jpeg []byte, taken time.Time) error {
	if len(jpeg) == 0 || len(jpeg) > MaxFrameBytes {
		return fmt.Errorf("a picture of %d bytes: 1 to %d are taken", len(jpeg), MaxFrameBytes)
	}
	l.frames.Put(Frame{JPEG: jpeg, Camera: camera, Taken: taken})
	return nil
}

// Clear forgets the frame: the camera is lost. Who waits for the next one is told
// at once.
func (l *Latest) Clear() { l.frames.Clear() }

// Last returns the newest frame; false if there is none.
func (l *Latest) Last() (Frame, bool) {
	n := l.frames.Last()
	return numbered(n), n.Has
}

// Next waits for what is newer than the frame of a number, 0 for any. The frame
// has no picture if the camera was lost. An error is that of ctx.
func (l *Latest) Next(ctx context.Context, after uint64) (Frame, error) {
	n, err := l.frames.Next(ctx, after)
	return numbered(n), err
}

func numbered(n brokers.Numbered[Frame]) Frame {
	n.Value.Number = n.Number
	return n.Value
}
