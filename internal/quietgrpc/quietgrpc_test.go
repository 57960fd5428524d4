package quietgrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/akri-go/akri/internal/shorten"
)

// plugin is a service of the kind this is for. Allocate answers with the number
// of containers that the first id says, or an error for others.
type plugin struct {
	pluginapi.UnimplementedDevicePluginServer
	block chan struct{} // Allocate of "block" waits for it, or for its context
	left  chan error    // what the context said then
}

func (p *plugin) GetDevicePluginOptions(ctx context.Context, _ *pluginapi.Empty) (*pluginapi.DevicePluginOptions, error) {
	caller, ok := peer.FromContext(ctx)
	return &pluginapi.DevicePluginOptions{PreStartRequired: ok && strings.HasSuffix(caller.LocalAddr.String(), "/s")}, nil
}

func (p *plugin) Allocate(ctx context.Context, req *pluginapi.AllocateRequest) (*pluginapi.AllocateResponse, error) {
	id := req.ContainerRequests[0].DevicesIds[0]
	var n int
	if _, err := fmt.Sscan(id, &n); err == nil {
		env := map[string]string{"LARGE": strings.Repeat("x", n)}
		return &pluginapi.AllocateResponse{ContainerResponses: []*pluginapi.ContainerAllocateResponse{{Envs: env}}}, nil
	}
	if id == "block" {
		select {
		case <-p.block:
			return &pluginapi.AllocateResponse{}, nil
		case <-ctx.Done():
			p.left <- ctx.Err()
			return nil, ctx.Err()
		}
	}
	return nil, status.Error(codes.ResourceExhausted, id)
}

const listAndWatch = "/v1beta1.DevicePlugin/ListAndWatch"

// serve returns a server with the plugin and a client of google.golang.org/grpc,
// which is what the kubelet has.
func serve(t testing.TB, start func(*Watch) error, options ...grpc.DialOption) (*Server, *plugin, *grpc.ClientConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "quiet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &plugin{block: make(chan struct{}), left: make(chan error, 100)}
	s := New()
	pluginapi.RegisterDevicePluginServer(s, p)
	if start != nil {
		s.RegisterWatch(listAndWatch, start)
	}
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	conn, err := grpc.NewClient("unix://"+path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return s, p, conn
}

func request(id string) *pluginapi.AllocateRequest {
	return &pluginapi.AllocateRequest{ContainerRequests: []*pluginapi.ContainerAllocateRequest{{DevicesIds: []string{id}}}}
}

func TestUnary(t *testing.T) {
	_, _, conn := serve(t, nil)
	client := pluginapi.NewDevicePluginClient(conn)
	ctx := t.Context()
	options, err := client.GetDevicePluginOptions(ctx, &pluginapi.Empty{})
	if err != nil || !options.PreStartRequired {
		t.Fatalf("options = %v, %v; want the local address known", options, err)
	}
	// More than a frame, more than a window, as many as fit.
	for _, size := range []int{0, 1, defaultFrameBytes, defaultWindowBytes, 1 << 20, maxMessageBytes - 100} {
		response, err := client.Allocate(ctx, request(fmt.Sprint(size)))
		if err != nil {
			t.Fatalf("answer of %d bytes: %v", size, err)
		}
		if got := len(response.ContainerResponses[0].Envs["LARGE"]); got != size {
			t.Errorf("answer has %d bytes, want %d", got, size)
		}
	}
	// A request of several windows; the text comes back as it was, but cut.
	for _, text := range []string{"plain", "all of 100 %, naïve\nline\x00", strings.Repeat("löng ", 60<<10)} {
		_, err := client.Allocate(ctx, request(text))
		want := shorten.Text(text, maxTextBytes)
		if status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != want {
			t.Errorf("error = %.60v, want ResourceExhausted with %.40q", err, want)
		}
	}
	if _, err := client.Allocate(ctx, request(fmt.Sprint(maxMessageBytes))); status.Code(err) != codes.Internal {
		t.Errorf("an answer that is too long: %v, want Internal", err)
	}
	if _, err := client.Allocate(ctx, request(strings.Repeat("x", maxMessageBytes))); err == nil {
		t.Error("a request that is too long was answered")
	}
	if err := conn.Invoke(ctx, "/v1beta1.DevicePlugin/Nothing", &pluginapi.Empty{}, &pluginapi.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: %v, want Unimplemented", err)
	}
	if _, err := client.PreStartContainer(ctx, &pluginapi.PreStartContainerRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("unimplemented method: %v", err)
	}
	if _, err := client.Allocate(ctx, request("1"), grpc.UseCompressor(gzip.Name)); status.Code(err) != codes.Internal {
		t.Errorf("compressed request: %v, want Internal", err)
	}
	if _, err := client.Allocate(ctx, request("1")); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestManyCalls(t *testing.T) {
	_, _, conn := serve(t, nil)
	client := pluginapi.NewDevicePluginClient(conn)
	g, ctx := errgroup.WithContext(t.Context())
	for i := range 200 {
		g.Go(func() error {
			size := i * 997
			response, err := client.Allocate(ctx, request(fmt.Sprint(size)))
			if err == nil && len(response.ContainerResponses[0].Envs["LARGE"]) != size {
				err = fmt.Errorf("answer %d is wrong", i)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	_, p, conn := serve(t, nil)
	client := pluginapi.NewDevicePluginClient(conn)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := client.Allocate(ctx, request("block"))
		done <- err
	}()
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("cancelled call: %v", err)
	}
	// The next is answered, whether or not the first came to the method.
	close(p.block)
	if _, err := client.Allocate(t.Context(), request("block")); err != nil {
		t.Error(err)
	}
}

func TestStopEndsCalls(t *testing.T) {
	s, p, conn := serve(t, nil)
	client := pluginapi.NewDevicePluginClient(conn)
	if _, err := client.Allocate(t.Context(), request("0")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := client.Allocate(t.Context(), request("block"))
		done <- err
	}()
	for running := 0; running == 0; { // until the call has arrived
		s.mu.Lock()
		for c := range s.conns {
			c.mu.Lock()
			running += c.running
			c.mu.Unlock()
		}
		s.mu.Unlock()
	}
	s.Stop()
	if err := <-p.left; !errors.Is(err, context.Canceled) {
		t.Errorf("the method's context says %v", err)
	}
	if err := <-done; status.Code(err) != codes.Unavailable {
		t.Errorf("call of a server that stops: %v", err)
	}
}

func list(id string, n int) *pluginapi.ListAndWatchResponse {
	r := &pluginapi.ListAndWatchResponse{}
	for i := range n {
		r.Devices = append(r.Devices, &pluginapi.Device{ID: fmt.Sprintf("%s-%d", id, i), Health: pluginapi.Healthy})
	}
	return r
}

func TestWatch(t *testing.T) {
	watches := make(chan *Watch, 1)
	ended := make(chan struct{})
	_, _, conn := serve(t, func(w *Watch) error {
		w.OnEnd = func() { close(ended) }
		watches <- w
		return nil
	})
	client := pluginapi.NewDevicePluginClient(conn)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.ListAndWatch(ctx, &pluginapi.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	w := <-watches
	if !strings.HasSuffix(w.LocalAddr.String(), "/s") {
		t.Errorf("local address %v", w.LocalAddr)
	}
	// Small, several frames, several windows; in order, none lost.
	sizes := []int{0, 3, 1000, 30000, 1}
	g := errgroup.Group{}
	g.Go(func() error {
		for _, n := range sizes {
			for w.Busy() {
				time.Sleep(time.Millisecond)
			}
			if err := w.Send(list("a", n)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, n := range sizes {
		got, err := stream.Recv()
		if err != nil || len(got.Devices) != n {
			t.Fatalf("list of %d has %d devices: %v", n, len(got.GetDevices()), err)
		}
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	// The same connection serves calls meanwhile.
	if _, err := client.Allocate(ctx, request("70000")); err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
	if err := w.Send(list("a", 1)); !errors.Is(err, errEnded) {
		t.Errorf("send after the end: %v", err)
	}
	if w.Context().Err() == nil {
		t.Error("the context is not done after the end")
	}
}

func TestWatchEnds(t *testing.T) {
	watches := make(chan *Watch, 1)
	ended := make(chan struct{}, 10)
	var refuse error
	var closeAtOnce bool
	s, _, conn := serve(t, func(w *Watch) error {
		w.OnEnd = func() { ended <- struct{}{} }
		if closeAtOnce {
			w.Close(nil)
		}
		watches <- w
		return refuse
	})
	client := pluginapi.NewDevicePluginClient(conn)
	open := func() grpc.ServerStreamingClient[pluginapi.ListAndWatchResponse] {
		t.Helper()
		stream, err := client.ListAndWatch(t.Context(), &pluginapi.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}

	stream := open()
	w := <-watches
	if err := w.Send(list("a", 1)); err != nil {
		t.Fatal(err)
	}
	w.Close(status.Error(codes.Aborted, "enough"))
	w.Close(nil)
	<-ended
	if _, err := stream.Recv(); err != nil {
		t.Errorf("what was sent before the end: %v", err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("end of the stream: %v, want Aborted", err)
	}

	stream = open()
	(<-watches).Close(nil)
	<-ended
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("good end of the stream: %v, want EOF", err)
	}

	refuse = status.Error(codes.FailedPrecondition, "no")
	stream = open()
	<-watches
	if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("refused: %v", err)
	}
	refuse, closeAtOnce = nil, true
	stream = open()
	<-watches
	<-ended
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("closed while it starts: %v, want EOF", err)
	}
	closeAtOnce = false

	stream = open()
	<-watches
	s.Stop()
	<-ended
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("stopped server: %v", err)
	}
	if len(ended) > 0 {
		t.Error("a call was said to end twice, or one that was refused")
	}
}

// A peer that does not read: the answers wait, up to a limit.
func TestPeerThatDoesNotRead(t *testing.T) {
	watches := make(chan *Watch, 1)
	_, _, conn := serve(t, func(w *Watch) error {
		watches <- w
		return nil
	}, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	stream, err := pluginapi.NewDevicePluginClient(conn).ListAndWatch(t.Context(), &pluginapi.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	w := <-watches
	sent := 0
	for err == nil {
		if err = w.Send(list("a", 10000)); err == nil {
			sent++
		}
		if sent > 1000 {
			t.Fatal("there is no limit")
		}
	}
	if !strings.Contains(err.Error(), "does not read") || !w.Busy() {
		t.Errorf("send: %v", err)
	}
	w.Close(nil)
	for range sent {
		if got, err := stream.Recv(); err != nil || len(got.Devices) != 10000 {
			t.Fatalf("list: %v", err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v, want EOF", err)
	}
}

// raw runs bytes of a peer against a connection.
func raw(t testing.TB, input []byte) {
	s := New()
	pluginapi.RegisterDevicePluginServer(s, &plugin{block: make(chan struct{}), left: make(chan error, 1000)})
	s.RegisterWatch(listAndWatch, func(w *Watch) error { return w.Send(list("a", 3)) })
	here, there := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, there) })
	s.start(here)
	_, _ = there.Write(input)
	there.Close()
	wg.Wait()
	s.Stop()
}

// frames returns a preface and frames, as a client would send them.
func frames(write func(*http2.Framer)) []byte {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	write(http2.NewFramer(&b, nil))
	return b.Bytes()
}

func headersOf(path string) []byte {
	return encode(field(":method", "POST"), field(":scheme", "http"), field(":path", path), field("content-type", "application/grpc"))
}

func badFrames() map[string][]byte {
	open := func(f *http2.Framer, id uint32, end bool) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headersOf(listAndWatch), EndHeaders: true, EndStream: end})
	}
	return map[string][]byte{
		"no HTTP/2":    []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n          "),
		"preface only": frames(func(*http2.Framer) {}),
		"even stream":  frames(func(f *http2.Framer) { open(f, 2, false) }),
		"stream again": frames(func(f *http2.Framer) { open(f, 3, false); open(f, 1, false) }),
		"no request":   frames(func(f *http2.Framer) { open(f, 1, true) }),
		"many streams": frames(func(f *http2.Framer) {
			for id := uint32(1); id < 200; id += 2 {
				open(f, id, false)
			}
		}),
		"data of nobody": frames(func(f *http2.Framer) { _ = f.WriteData(7, true, []byte("x")) }),
		"data after end": frames(func(f *http2.Framer) {
			open(f, 1, false)
			_ = f.WriteData(1, true, make([]byte, prefixBytes))
			_ = f.WriteData(1, true, []byte("x"))
		}),
		"wrong length": frames(func(f *http2.Framer) {
			open(f, 1, false)
			_ = f.WriteData(1, true, []byte{0, 0, 0, 0, 9, 1})
		}),
		"window overflows": frames(func(f *http2.Framer) {
			open(f, 1, false)
			_ = f.WriteWindowUpdate(1, 1<<31-1)
			_ = f.WriteWindowUpdate(0, 1<<31-1)
		}),
		"window shrinks": frames(func(f *http2.Framer) {
			open(f, 1, false)
			_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			_ = f.WriteData(1, true, make([]byte, prefixBytes))
			_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		}),
		"reset at once": frames(func(f *http2.Framer) {
			for id := uint32(1); id < 200; id += 2 {
				open(f, id, false)
				_ = f.WriteData(id, true, make([]byte, prefixBytes))
				_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		}),
		"bad settings": frames(func(f *http2.Framer) {
			_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}),
	}
}

func TestBadPeers(t *testing.T) {
	for name, input := range badFrames() {
		t.Run(name, func(t *testing.T) { raw(t, input) })
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		input := frames(func(*http2.Framer) {})
		for range 50 {
			input = append(input, byte(r.Uint32()&r.Uint32()&r.Uint32()))
		}
		raw(t, input)
	}
}

func FuzzConn(f *testing.F) {
	for _, input := range badFrames() {
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input []byte) { raw(t, input) })
}

func field(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }
