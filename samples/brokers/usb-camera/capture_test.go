package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"image/jpeg"
	"log/slog"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/samples/camera/camerapb"
)

// fake is a camera that does not exist: it stands in for a device node, since this
// machine need not have one.
type fake struct {
	mu        sync.Mutex
	plugged   bool
	opened    int // at present
	offers    []offer
	refuses   fourCC // S_FMT fails for it
	picture   func(mode) []byte
	mode      mode
	unplugged chan struct{}
}

func (f *fake) open(string) (device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.plugged {
		return nil, unix.ENODEV
	}
	f.opened++
	return f, nil
}

func (f *fake) Offers() []offer { return f.offers }

func (f *fake) Set(want mode, _ int) (mode, error) {
	if want.format == f.refuses {
		return mode{}, unix.EINVAL
	}
	f.mode = want
	f.mode.width, f.mode.height = 32, 16 // it has no other size, whatever is wanted
	return f.mode, nil
}

func (f *fake) Start() error { return nil }

func (f *fake) Next(ctx context.Context, use func([]byte) error) error {
	f.mu.Lock()
	unplugged := f.unplugged
	f.mu.Unlock()
	select {
	case <-time.After(10 * time.Millisecond):
		return use(f.picture(f.mode))
	case <-unplugged:
		return unix.ENODEV
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened--
	return nil
}

func (f *fake) plug(in bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plugged = in; in {
		f.unplugged = make(chan struct{})
	} else {
		close(f.unplugged)
	}
}

// A camera gives pictures in the mode that it takes, is unplugged, and plugged in
// again.
func TestBroker(t *testing.T) {
	leaktest.Check(t)
	orange := color.RGBA{220, 120, 40, 255}
	f := &fake{offers: []offer{{formatMJPG, nil}, {formatYUYV, nil}, {formatRGB3, nil}}, refuses: formatMJPG}
	f.picture = func(m mode) []byte {
		if m.format != formatYUYV {
			return nil
		}
		return raw(formatYUYV, false, 64, orange, orange)
	}
	s, err := parse([]string{"UDEV_DEVNODE_0AB12F=/dev/video0", "FRAMES_PER_SECOND=100"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBroker(s, f.open, slog.New(slog.DiscardHandler))
	b.ProbesAddress = "127.0.0.1:0"
	b.Retry.First, b.Retry.Max = time.Millisecond, 10*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.RunAt(ctx, listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if f.opened != 0 {
			t.Errorf("the device is open %d times at the end", f.opened)
		}
	}()
	client := camerapb.NewCameraClient(conn)
	shows := func(want bool) {
		t.Helper()
		eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
			m, err := client.GetFrame(ctx, &camerapb.NotifyRequest{})
			if err != nil {
				return err
			}
			if !want && len(m.GetFrame()) > 0 || m.GetCamera() != "/dev/video0" {
				return fmt.Errorf("a picture of %s", m.GetCamera())
			}
			if !want {
				return nil
			}
			img, err := jpeg.Decode(bytes.NewReader(m.GetFrame()))
			if err != nil {
				return err
			}
			if got := color.RGBAModel.Convert(img.At(5, 5)).(color.RGBA); far(got.R, orange.R) || far(got.B, orange.B) {
				return errors.New("another picture")
			}
			return nil
		})
	}
	shows(false)
	for range 2 {
		f.plug(true)
		shows(true)
		f.plug(false)
		shows(false)
	}
}
