package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/slowtest"
	"github.com/akri-go/akri/samples/camera"
	"github.com/akri-go/akri/samples/camera/camerapb"
)

// newestFrames is a browser that stops reading while frames 2 to 100 come: it gets
// the one that was on its way, and then the newest.
func newestFrames(t *testing.T, look func(*hub, http.ResponseWriter, *http.Request), frames func([]byte) []uint64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := newHub(ctx, 60, slog.New(slog.DiscardHandler))
		f := &feed{source: source{"a", "nowhere"}, hub: h, group: &h.group, stop: func() {}} // the test follows the camera
		f.gone, f.remove = context.WithCancel(ctx)
		h.feeds = []*feed{f}
		put := func(n byte) {
			if err := f.latest.Put("c", []byte{n}, time.Now()); err != nil {
				t.Error(err)
			}
			h.viewers.Wake()
			time.Sleep(100 * time.Millisecond)
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		r.SetPathValue("id", "a")
		b := slowtest.New()
		done := make(chan struct{})
		go func() { defer close(done); look(h, b, r) }()
		put(1)
		b.Stop()
		for n := byte(2); n <= 100; n++ {
			put(n)
		}
		b.GoOn()
		time.Sleep(3 * time.Second)
		cancel()
		<-done
		f.remove()
		if got := fmt.Sprint(frames(b.Got())); got != "[1 2 100]" {
			t.Errorf("it gets the frames %s", got)
		}
	})
}

// A browser that is slow gets the newest pictures, on the page and on upstream's
// route.
func TestSlowBrowser(t *testing.T) {
	t.Run("page", func(t *testing.T) {
		newestFrames(t, (*hub).live, func(data []byte) (all []uint64) {
			for len(data) > 0 {
				head := 2 + int(data[1]) + 4
				size := int(binary.BigEndian.Uint32(data[head-4:]))
				if data[0] == pictureRecord {
					all = append(all, uint64(data[head+8]))
				}
				data = data[head+size:]
			}
			return all
		})
	})
	t.Run("route", func(t *testing.T) {
		newestFrames(t, (*hub).frames, func(data []byte) (all []uint64) {
			for _, m := range regexp.MustCompile(`X-Frame: (\d+)`).FindAllSubmatch(data, -1) {
				n, _ := strconv.ParseUint(string(m[1]), 10, 64) // it has digits alone
				all = append(all, n)
			}
			return all
		})
	})
}

// counted is a broker like ours that counts the streams that it has served.
type counted struct {
	camerapb.UnimplementedCameraServer

	latest  camera.Latest
	streams atomic.Int32
}

func (c *counted) StreamFrames(_ *camerapb.NotifyRequest, to grpc.ServerStreamingServer[camerapb.NotifyResponse]) error {
	c.streams.Add(1)
	for last := uint64(0); ; {
		f, err := c.latest.Next(to.Context(), last)
		if err == nil {
			err = to.Send(&camerapb.NotifyResponse{Frame: f.JPEG, Camera: "c", Number: f.Number})
		}
		if err != nil {
			return err
		}
		last = f.Number
	}
}

// pictureOf reads pictures until one is as wanted.
type pictureOf func() ([]byte, error)

func (next pictureOf) until(want []byte) error {
	for {
		got, err := next()
		if err != nil || bytes.Equal(got, want) {
			return err
		}
	}
}

// onPage and onRoute read pictures of a feed, as the page and as upstream's page do.
func onPage(address string) (pictureOf, io.Closer, error) {
	resp, err := http.Get("http://" + address + "/live")
	if err != nil {
		return nil, nil, err
	}
	return func() ([]byte, error) {
		for {
			var start [2]byte
			if _, err := io.ReadFull(resp.Body, start[:]); err != nil {
				return nil, err
			}
			head := make([]byte, int(start[1])+4)
			if _, err := io.ReadFull(resp.Body, head); err != nil {
				return nil, err
			}
			content := make([]byte, binary.BigEndian.Uint32(head[start[1]:]))
			if _, err := io.ReadFull(resp.Body, content); err != nil {
				return nil, err
			}
			if start[0] == pictureRecord {
				return content[8:], nil
			}
		}
	}, resp.Body, nil
}

func onRoute(address string) (pictureOf, io.Closer, error) {
	resp, err := http.Get("http://" + address + "/camera_frame_feed/a")
	if err != nil {
		return nil, nil, err
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return nil, nil, err
	}
	parts := multipart.NewReader(resp.Body, params["boundary"])
	return func() ([]byte, error) {
		part, err := parts.NextPart()
		if err != nil {
			return nil, err
		}
		return io.ReadAll(part)
	}, resp.Body, nil
}

// Twenty browsers look at once, in both ways, and each gets the pictures as the
// broker has sent them, which is asked once for all of them. Others that do not read
// disturb none, and cost no memory for what they miss.
func TestManyBrowsers(t *testing.T) {
	h, address := serveHub(t)
	broker := new(counted)
	h.set([]source{{"a", serveCamera(t, broker)}}, nil)
	large := largePicture(t)
	put := func(n int) []byte {
		t.Helper()
		p := bytes.Clone(large)
		p[len(p)-3] = byte(n) // in its scan
		if err := broker.latest.Put("c", p, time.Now()); err != nil {
			t.Fatal(err)
		}
		return p
	}
	put(0)
	var readers []pictureOf
	for i := range 20 {
		open := onPage
		if i%2 == 1 {
			open = onRoute
		}
		next, body, err := open(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { body.Close() })
		timer := time.AfterFunc(3*patience, func() { body.Close() })
		t.Cleanup(func() { timer.Stop() })
		readers = append(readers, next)
	}
	for i := range 10 {
		silent(t, address, []string{"/live", "/camera_frame_feed/a"}[i%2])
	}
	eventually.Succeeds(t, patience, func(context.Context) error { // all are there
		if n := h.viewers.Len(); n != 30 {
			return fmt.Errorf("%d viewers", n)
		}
		return nil
	})
	before := inUse()
	const pictures = 20
	for n := range pictures {
		want := put(n + 1)
		var all errgroup.Group
		for _, next := range readers {
			all.Go(func() error { return next.until(want) })
		}
		if err := all.Wait(); err != nil {
			t.Fatalf("picture %d: %v", n, err)
		}
	}
	if n := broker.streams.Load(); n != 1 {
		t.Errorf("the broker was asked for %d streams", n)
	}
	// The newest picture, one that is on its way to each silent browser, and what
	// gRPC and this test have at the moment; a queue would have nearly all for each.
	if grown, most := inUse()-before, 30*len(large); grown > most {
		t.Errorf("%d MiB more are in use after %d pictures of 1 MiB; want at most %d", grown>>20, pictures, most>>20)
	}
}

// inUse is how much memory is in use.
func inUse() int {
	runtime.GC()
	runtime.GC() // also what pools have
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// largePicture is a picture of 1 MiB: most of it are comments.
func largePicture(t testing.TB) []byte {
	t.Helper()
	comment := append([]byte{0xff, 0xfe, 0xff, 0xff}, make([]byte, 0xfffd)...)
	small := shade(t, 1)
	return append(append(small[:2:2], bytes.Repeat(comment, 16)...), small[2:]...)
}

// silent is a browser that does not read.
func silent(t *testing.T, address, path string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil { // soon nothing more can be sent
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// A broker whose connection is cut in the middle of a picture: no part of one is
// shown, and pictures come again.
func TestCutMidPicture(t *testing.T) {
	h, address := serveHub(t)
	broker := new(counted)
	large := largePicture(t)
	if err := broker.latest.Put("c", large, time.Now()); err != nil {
		t.Fatal(err)
	}
	cut := &cutting{to: serveCamera(t, broker), after: []int{0, 1 << 10, 100 << 10, 1 << 20}}
	h.set([]source{{"a", cut.serve(t)}}, nil)
	r := look(t, address)
	if got := r.picture("a"); !bytes.Equal(got, large) {
		t.Errorf("a picture of %d bytes, want %d", len(got), len(large))
	}
	if n := cut.used(); n < 5 {
		t.Errorf("it has connected %d times", n)
	}
}

// cutting is between the application and a broker: it ends its first connections
// after so many bytes from the broker each.
type cutting struct {
	to    string
	after []int

	mu          sync.Mutex
	connections int
}

func (c *cutting) used() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connections
}

func (c *cutting) serve(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { l.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			n := c.connections
			c.connections++
			c.mu.Unlock()
			most := int64(1) << 40
			if n < len(c.after) {
				most = int64(c.after[n])
			}
			group.Go(func() { c.pass(t.Context(), conn, most) })
		}
	})
	return l.Addr().String()
}

func (c *cutting) pass(ctx context.Context, conn net.Conn, most int64) {
	defer conn.Close()
	broker, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer broker.Close()
	defer context.AfterFunc(ctx, func() { broker.Close() })() // the test is over
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(broker, conn) // it ends with the connection
		broker.Close()
	}()
	_, _ = io.CopyN(conn, broker, most)
	conn.Close()
	<-up
}
