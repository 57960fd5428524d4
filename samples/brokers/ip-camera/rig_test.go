package main

import (
	"bytes"
	"context"
	"image/jpeg"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/samples/camera/camerapb"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// patience is how long a test waits for what must happen.
const patience = eventually.Patience

// simulate starts one camera of the simulator at 127.0.0.1.
func simulate(t *testing.T, o simulator.Options) (*simulator.Simulator, *simulator.Camera) {
	t.Helper()
	leaktest.Check(t)
	o.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	o.Port, o.DiscoveryPort = freeport.Port(t), freeport.Port(t)
	s, err := simulator.New(o)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, s.Cameras()[0]
}

// of is the environment that a broker has for a camera, and more of it. It asks for
// small pictures: drawing and reading them is what these tests spend most on.
func of(c *simulator.Camera, more ...string) []string {
	return append([]string{"ONVIF_DEVICE_SERVICE_URL_ABCDEF=" + c.XAddr(), "ONVIF_DEVICE_UUID_ABCDEF=" + c.UUID,
		"RESOLUTION_WIDTH=320", "RESOLUTION_HEIGHT=240"}, more...)
}

// broker is a broker, and a client that looks at it.
type broker struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[camerapb.NotifyResponse]
	client camerapb.CameraClient
	log    *testlog.Buffer
	stop   context.CancelFunc // ends the stream
}

// serve runs a broker until the test ends. It tries again soon.
func serve(t *testing.T, environ []string) *broker {
	t.Helper()
	s, err := parse(environ)
	if err != nil {
		t.Fatal(err)
	}
	return serveWith(t, s)
}

func serveWith(t *testing.T, s settings) *broker {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, log: new(testlog.Buffer)}
	b1 := newBroker(s, slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	b1.ProbesAddress = "127.0.0.1:0"
	b1.Retry = backoff.Backoff{First: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	b1.Silence, b1.Start = 2*time.Second, 10*time.Second
	done := make(chan error, 1)
	go func() { done <- b1.RunAt(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b.client = camerapb.NewCameraClient(conn)
	var watching context.Context
	watching, b.stop = context.WithCancel(context.Background())
	t.Cleanup(b.stop)
	if b.stream, err = b.client.StreamFrames(watching, &camerapb.NotifyRequest{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// sees waits until the pictures of a camera have come: so many, each newer than the
// one before, as their marks say. It returns their width.
func (b *broker) sees(number, pictures int) (width int) {
	b.t.Helper()
	timer := time.AfterFunc(patience, func() { b.t.Errorf("after %s not %d pictures have come", patience, pictures); b.stop() })
	defer timer.Stop()
	last := uint32(0)
	for got := 0; got < pictures; {
		m, err := b.stream.Recv()
		if err != nil {
			b.t.Fatal(err)
		}
		if len(m.GetFrame()) == 0 {
			last = 0
			continue
		}
		img, err := jpeg.Decode(bytes.NewReader(m.GetFrame()))
		if err != nil {
			b.t.Fatal(err)
		}
		n, frame, err := simulator.ReadMarks(img)
		if err != nil || n != number {
			b.t.Fatalf("a picture of camera %d, want %d: %v", n, number, err)
		}
		if frame < last {
			b.t.Fatalf("picture %d after %d", frame, last)
		}
		if frame > last {
			got++
		}
		last, width = frame, img.Bounds().Dx()
	}
	return width
}

// loses waits until there are no pictures.
func (b *broker) loses() {
	b.t.Helper()
	timer := time.AfterFunc(patience, func() { b.t.Errorf("after %s there still are pictures", patience); b.stop() })
	defer timer.Stop()
	for {
		m, err := b.stream.Recv()
		if err != nil {
			b.t.Fatal(err)
		}
		if len(m.GetFrame()) == 0 {
			return
		}
	}
}
