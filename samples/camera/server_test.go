package camera

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/slowtest"
	"github.com/akri-go/akri/samples/camera/camerapb"
)

// rig is a server with pictures that the test puts.
type rig struct {
	*Server

	address string
}

func start(t *testing.T) *rig {
	t.Helper()
	leaktest.Check(t)
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	latest := new(Latest)
	r := &rig{&Server{Latest: latest, Metrics: NewMetrics(latest), Camera: "/dev/video0", ProbesAddress: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)},
		listener.Addr().String()}
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

func (r *rig) put(t *testing.T, n int) []byte {
	t.Helper()
	p := picture(t, n)
	if err := r.Latest.Put("/dev/video0", p, time.Now()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) dial(t *testing.T) camerapb.CameraClient {
	t.Helper()
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return camerapb.NewCameraClient(conn)
}

// What upstream's application does: a call for each picture.
func TestGetFrame(t *testing.T) {
	r := start(t)
	client := r.dial(t)
	m, err := client.GetFrame(t.Context(), &camerapb.NotifyRequest{})
	if err != nil || len(m.GetFrame()) != 0 || m.GetCamera() != "/dev/video0" {
		t.Errorf("without a picture: %v, %v", m, err)
	}
	for n := range 3 {
		want := r.put(t, n)
		m, err := client.GetFrame(t.Context(), &camerapb.NotifyRequest{})
		if err != nil || !bytes.Equal(m.GetFrame(), want) || m.GetCamera() != "/dev/video0" || m.GetNumber() != uint64(n+1) || m.GetTakenUs() == 0 {
			t.Errorf("picture %d: %d bytes, number %d, %v", n, len(m.GetFrame()), m.GetNumber(), err)
		}
	}
	if n := value(t, r.Metrics, "akri_frame_count"); n != 3 {
		t.Errorf("akri_frame_count is %v", n)
	}
	r.Latest.Clear()
	if m, err := client.GetFrame(t.Context(), &camerapb.NotifyRequest{}); err != nil || len(m.GetFrame()) != 0 {
		t.Errorf("when the camera is lost: %v, %v", m, err)
	}
}

func TestStreamFrames(t *testing.T) {
	r := start(t)
	stream, err := r.dial(t).StreamFrames(t.Context(), &camerapb.NotifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() *camerapb.NotifyResponse {
		t.Helper()
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := next(); len(m.GetFrame()) != 0 || m.GetCamera() != "/dev/video0" {
		t.Errorf("without a picture: %v", m)
	}
	for n := range 3 {
		want := r.put(t, n)
		if m := next(); !bytes.Equal(m.GetFrame(), want) {
			t.Errorf("picture %d: %d bytes, number %d", n, len(m.GetFrame()), m.GetNumber())
		}
	}
	r.Latest.Clear()
	if m := next(); len(m.GetFrame()) != 0 {
		t.Errorf("when the camera is lost: %d bytes", len(m.GetFrame()))
	}
}

// A browser gets pictures one after the other in one answer.
func TestStreamOverHTTP(t *testing.T) {
	r := start(t)
	want := r.put(t, 0)
	resp, err := http.Get("http://" + r.address + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/x-mixed-replace" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := multipart.NewReader(resp.Body, params["boundary"])
	for n := range 3 {
		part, err := parts.NextPart()
		if err != nil || part.Header.Get("Content-Type") != "image/jpeg" {
			t.Fatalf("%v, %v", part, err)
		}
		// It is complete before there is another.
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, want) {
			t.Errorf("part %d: %d bytes, want %d; %v", n, len(got), len(want), err)
		}
		r.Latest.Clear()
		want = r.put(t, n+1)
	}
}

func TestSnapshot(t *testing.T) {
	r := start(t)
	get := func(path string) (int, []byte) {
		t.Helper()
		resp, err := http.Get("http://" + r.address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	if code, body := get("/snapshot"); code != http.StatusServiceUnavailable || !strings.Contains(string(body), "log") {
		t.Errorf("without a picture: %d %s", code, body)
	}
	if r.ready() == nil {
		t.Error("it is ready without a picture")
	}
	want := r.put(t, 1)
	if code, body := get("/snapshot"); code != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("%d, %d bytes", code, len(body))
	}
	if err := r.ready(); err != nil {
		t.Error(err)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
}

// Clients that do not read hold nobody up, and what they miss costs no memory.
func TestClientThatDoesNotRead(t *testing.T) {
	r := start(t)
	put := func(n int) {
		t.Helper()
		large := append(picture(t, n), make([]byte, MaxFrameBytes/2)...)
		if err := r.Latest.Put("c", large, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	for range 3 {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		silent, err := r.dial(t).StreamFrames(t.Context(), &camerapb.NotifyRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := silent.Recv(); err != nil { // and nothing more
			t.Fatal(err)
		}
	}
	stream, err := r.dial(t).StreamFrames(t.Context(), &camerapb.NotifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	before := inUse()
	var last uint64
	const pictures = 50
	for n := range pictures {
		put(n + 1)
		want, _ := r.Latest.Last()
		for last < want.Number {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			last = m.GetNumber()
		}
	}
	// The newest picture, and at most some that are on their way to each of six; a
	// queue would have 50 of 1 MiB for each.
	if grown, most := inUse()-before, 40<<20; grown > most {
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

// A client that stops reading while pictures come gets the one that was on its way,
// and then the newest.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		latest := new(Latest)
		s := &Server{Latest: latest, Metrics: NewMetrics(latest)}
		b := slowtest.New()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.stream(b, httptest.NewRequestWithContext(ctx, http.MethodGet, "/stream", nil))
		}()
		put := func(n byte) {
			if err := latest.Put("c", []byte{n}, time.Now()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		put(1)
		b.Stop()
		for n := byte(2); n <= 100; n++ {
			put(n)
		}
		b.GoOn()
		synctest.Wait()
		cancel()
		<-done
		var got []string
		for _, m := range regexp.MustCompile(`X-Frame: (\d+)`).FindAllSubmatch(b.Got(), -1) {
			got = append(got, string(m[1]))
		}
		if text := strings.Join(got, " "); text != "1 2 100" {
			t.Errorf("it gets the frames %s", text)
		}
	})
}

// There is room for so many viewers; others are told, and get in when one leaves.
func TestTooManyViewers(t *testing.T) {
	r := start(t)
	r.put(t, 1)
	client := r.dial(t) // one peer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range maxPeerViewers {
		stream, err := client.StreamFrames(ctx, &camerapb.NotifyRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stream, err := client.StreamFrames(t.Context(), &camerapb.NotifyRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	if _, err := client.GetFrame(t.Context(), &camerapb.NotifyRequest{}); err != nil {
		t.Errorf("who asks for one picture: %v", err)
	}
	cancel()
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		stream, err := client.StreamFrames(ctx, &camerapb.NotifyRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	})
}

// A request that does not end is cut off early: gRPC would keep all of it.
func TestEndlessRequest(t *testing.T) {
	r := start(t)
	r.put(t, 1)
	body, write := io.Pipe()
	defer body.Close()
	sent := make(chan int, 1)
	go func() {
		n := 0
		for {
			m, err := write.Write(make([]byte, 64<<10))
			n += m
			if err != nil || n > 64<<20 {
				sent <- n
				return
			}
		}
	}()
	client := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	defer client.CloseIdleConnections()
	client.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address+"/camera.Camera/GetFrame", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		err = errors.Join(err, resp.Body.Close())
	}
	t.Logf("the answer ends with %v", err)
	body.Close()
	if n := <-sent; n > 1<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// Strangers' paths and methods.
func TestOther(t *testing.T) {
	r := start(t)
	for path, want := range map[string]int{"/": http.StatusMethodNotAllowed, "/etc/passwd": http.StatusMethodNotAllowed} {
		resp, err := http.Get("http://" + r.address + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Invoke(t.Context(), "/camera.Camera/Nothing", &camerapb.NotifyRequest{}, &camerapb.NotifyResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that is not there: %v", err)
	}
}
