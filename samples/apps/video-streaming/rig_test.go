package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/samples/camera"
	"github.com/akri-go/akri/samples/camera/camerapb"
	"github.com/akri-go/akri/samples/pages"
)

// patience is how long a test waits for what must happen.
const patience = eventually.Patience

// serveHub serves the page of a hub, and returns its address.
func serveHub(t *testing.T) (*hub, string) {
	t.Helper()
	leaktest.Check(t)
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := pages.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(ctx, 60, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	page, err := handler(h)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- pages.Serve(ctx, listener, page) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		h.close()
	})
	return h, listener.Addr().String()
}

// shades are pictures of one colour.
func shade(t testing.TB, n int) []byte { t.Helper(); return shadeOf(t, n, 64, 48) }

func shadeOf(t testing.TB, n, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(color.Gray{Y: byte(n)}), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ours is one of our brokers, at an address, whose pictures a test sends.
func ours(t *testing.T, name string) (address string, source chan []byte, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	pictures := make(chan []byte)
	b := &camera.Broker{Camera: name, ProbesAddress: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Source: func(ctx context.Context, put func([]byte) error) error {
			for {
				select {
				case p := <-pictures:
					if p == nil {
						return io.EOF
					}
					if err := put(p); err != nil {
						return err
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}}
	b.Retry.First, b.Retry.Max = time.Millisecond, 10*time.Millisecond
	done := make(chan error, 1)
	go func() { done <- b.RunAt(ctx, listener) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return listener.Addr().String(), pictures, stop
}

// upstream is a broker like upstream's: GetFrame alone, on a server of grpc-go.
type upstream struct {
	camerapb.UnimplementedCameraServer

	calls atomic.Int32
	frame func(call int32) []byte
}

func (u *upstream) GetFrame(context.Context, *camerapb.NotifyRequest) (*camerapb.NotifyResponse, error) {
	n := u.calls.Add(1)
	return &camerapb.NotifyResponse{Frame: u.frame(n), Camera: "/dev/video9"}, nil
}

func (u *upstream) serve(t *testing.T) (address string) { return serveCamera(t, u) }

// serveCamera serves a broker on a server of grpc-go.
func serveCamera(t *testing.T, broker camerapb.CameraServer) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	camerapb.RegisterCameraServer(s, broker)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

// reader reads what a page reads.
type reader struct {
	t    *testing.T
	body io.ReadCloser
	last *Listing
}

func look(t *testing.T, address string) *reader {
	t.Helper()
	resp, err := http.Get("http://" + address + "/live")
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	r := &reader{t: t, body: resp.Body}
	t.Cleanup(func() { r.body.Close() })
	return r
}

// next returns the next record, and notes a listing.
func (r *reader) next() (kind byte, id string, content []byte) {
	r.t.Helper()
	read := func(n int) []byte {
		r.t.Helper()
		b := make([]byte, n)
		if _, err := io.ReadFull(r.body, b); err != nil {
			r.t.Fatal(err)
		}
		return b
	}
	timer := time.AfterFunc(patience, func() { r.body.Close() })
	defer timer.Stop()
	head := read(2)
	id = string(read(int(head[1])))
	content = read(int(binary.BigEndian.Uint32(read(4))))
	if head[0] == listRecord {
		r.last = new(Listing)
		if err := json.Unmarshal(content, r.last); err != nil {
			r.t.Fatal(err)
		}
	}
	return head[0], id, content
}

// listed waits until the latest listing pleases.
func (r *reader) listed(please func(Listing) error) Listing {
	r.t.Helper()
	last := errors.New("there is none")
	for began := time.Now(); time.Since(began) < patience; r.next() {
		if r.last == nil {
			continue
		}
		if last = please(*r.last); last == nil {
			return *r.last
		}
	}
	r.t.Fatalf("after %s: %v", patience, last)
	return Listing{}
}

// picture waits for a picture of a feed.
func (r *reader) picture(id string) []byte {
	r.t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		if kind, of, content := r.next(); kind == pictureRecord && of == id {
			return content[8:]
		}
	}
	r.t.Fatalf("after %s there is no picture of %s", patience, id)
	return nil
}

// states wants the states of feeds, such as "main:live a:starting".
func states(want string) func(Listing) error {
	return func(l Listing) error {
		got := ""
		for i, e := range l.Feeds {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("%s:%s", e.ID, e.State)
		}
		if got != want {
			return fmt.Errorf("the page shows %q, want %q", got, want)
		}
		return nil
	}
}

// says wants a feed's reason for having no picture.
func says(id, reason string) func(Listing) error {
	return func(l Listing) error {
		for _, e := range l.Feeds {
			if e.ID == id && strings.Contains(e.Reason, reason) {
				return nil
			}
		}
		return fmt.Errorf("of %s it is not said %q: %+v", id, reason, l)
	}
}
