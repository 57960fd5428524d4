package discovery_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

const waitTimeout = eventually.Patience

// static reports one device, whose id is the request's details.
type static struct{ name string }

func (s static) Name() string { return s.name }
func (static) Shared() bool   { return true }
func (static) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	switch req.Details {
	case "invalid":
		return discovery.Invalid("not that")
	case "fail":
		return errors.New("out of order")
	}
	d := discovery.Device{ID: req.Details, Properties: map[string]string{},
		Mounts:      []discovery.Mount{{ContainerPath: "/c", HostPath: "/h", ReadOnly: true}},
		DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/c", HostPath: "/h", Permissions: "rw"}}}
	for name, value := range req.Properties {
		d.Properties[name] = "present " + string(value)
		if value == nil {
			d.Properties[name] = "absent"
		}
	}
	if err := report([]discovery.Device{d}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

type agent struct {
	pb.UnimplementedRegistrationServer
	registered chan *pb.RegisterDiscoveryHandlerRequest
	refuse     error
}

func (a *agent) RegisterDiscoveryHandler(_ context.Context, m *pb.RegisterDiscoveryHandlerRequest) (*pb.Empty, error) {
	a.registered <- m
	return &pb.Empty{}, a.refuse
}

func startAgent(t *testing.T, dir string, refuse error) (*agent, func()) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(dir, "agent-registration.sock"))
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{registered: make(chan *pb.RegisterDiscoveryHandlerRequest, 1000), refuse: refuse}
	server := grpc.NewServer()
	pb.RegisterRegistrationServer(server, a)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return a, server.Stop
}

func (a *agent) wait(t *testing.T) *pb.RegisterDiscoveryHandlerRequest {
	t.Helper()
	select {
	case m := <-a.registered:
		return m
	case <-time.After(waitTimeout):
		t.Fatalf("no registration within %s", waitTimeout)
		return nil
	}
}

func start(t *testing.T, h discovery.Handler, opts ...discovery.Option) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- discovery.Serve(ctx, h, opts...) }()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { stop() })
	return stop
}

func ask(t *testing.T, target, details string) (*pb.DiscoverResponse, error) {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	stream, err := pb.NewDiscoveryHandlerClient(conn).Discover(ctx, &pb.DiscoverRequest{
		DiscoveryDetails: details,
		DiscoveryProperties: map[string]*pb.ByteData{
			"A": {Vec: []byte("x")}, "B": {}, "C": {Vec: []byte{}},
		},
	})
	if err != nil {
		return nil, err
	}
	return stream.Recv()
}

func shortDir(t *testing.T) string {
	t.Helper()
	leaktest.Check(t)
	dir, err := os.MkdirTemp("", "akri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestServe(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "static.sock")
	stop := start(t, static{"static"}, discovery.OptionsFromEnv(func(name string) string {
		return map[string]string{"DISCOVERY_HANDLERS_DIRECTORY": dir}[name]
	})...)
	a, stopAgent := startAgent(t, dir, nil) // comes later
	m := a.wait(t)
	if m.Name != "static" || !m.Shared || m.EndpointType != pb.RegisterDiscoveryHandlerRequest_UDS || m.Endpoint != socket {
		t.Errorf("registered %v", m)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}

	list, err := ask(t, "unix:"+socket, "thing")
	if err != nil {
		t.Fatal(err)
	}
	d := list.Devices[0]
	if d.Id != "thing" || d.Properties["A"] != "present x" || d.Properties["B"] != "absent" || d.Properties["C"] != "present " {
		t.Errorf("got %v", d)
	}
	if mount := d.Mounts[0]; mount.ContainerPath != "/c" || mount.HostPath != "/h" || !mount.ReadOnly {
		t.Errorf("got mount %v", mount)
	}
	if spec := d.DeviceSpecs[0]; spec.ContainerPath != "/c" || spec.HostPath != "/h" || spec.Permissions != "rw" {
		t.Errorf("got device node %v", spec)
	}
	a.wait(t) // the stream was dropped

	if _, err := ask(t, "unix:"+socket, "invalid"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "not that") {
		t.Errorf("invalid request: %v", err)
	}
	if _, err := ask(t, "unix:"+socket, "fail"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("request that fails: %v", err)
	}

	stopAgent()
	a, _ = startAgent(t, dir, nil)
	a.wait(t)

	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestServeOverNetwork(t *testing.T) {
	dir := shortDir(t)
	a, _ := startAgent(t, dir, nil)
	opts := discovery.OptionsFromEnv(func(name string) string {
		return map[string]string{"DISCOVERY_HANDLERS_DIRECTORY": dir, "POD_IP": "127.0.0.1"}[name]
	})
	start(t, static{"static"}, append(opts, discovery.WithPort(0))...)
	m := a.wait(t)
	host, ok := strings.CutPrefix(m.Endpoint, "http://127.0.0.1:")
	if !ok || m.EndpointType != pb.RegisterDiscoveryHandlerRequest_NETWORK {
		t.Fatalf("registered %v", m)
	}
	if _, err := ask(t, "127.0.0.1:"+host, "thing"); err != nil {
		t.Error(err)
	}
}

// An agent that refuses is asked again.
func TestServeRefused(t *testing.T) {
	dir := shortDir(t)
	a, stopAgent := startAgent(t, dir, status.Error(codes.PermissionDenied, "not you"))
	start(t, static{"static"}, discovery.WithDirectory(dir))
	a.wait(t)
	a.wait(t)
	stopAgent()
	a, _ = startAgent(t, dir, nil)
	a.wait(t)
}

func TestServeWhereItCannot(t *testing.T) {
	dir := shortDir(t)
	for _, test := range []struct {
		name string
		opts []discovery.Option
		want string
	}{
		{"a", []discovery.Option{discovery.WithDirectory(filepath.Join(dir, "missing"))}, "no such file"},
		{"a", []discovery.Option{discovery.WithDirectory(strings.Repeat("x", 200))}, "bytes"},
		{"a", []discovery.Option{discovery.WithAddress("example.org")}, "IP address"},
		{"a", []discovery.Option{discovery.WithAddress("0.0.0.0")}, "IP address"},
		{"a", []discovery.Option{discovery.WithAddress("127.0.0.1"), discovery.WithPort(70000)}, "port"},
		{"", nil, "1 to 63"},
		{strings.Repeat("a", 64), nil, "1 to 63"},
		{"a/b", nil, "'/'"},
		{"agent-registration", nil, "agent's"},
	} {
		err := discovery.Serve(t.Context(), static{test.name}, append([]discovery.Option{discovery.WithDirectory(dir)}, test.opts...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want an error with %q", test.name, err, test.want)
		}
	}
}

// A handler whose name is taken waits, says for what, and is there as soon as it
// can be.
func TestServeWaits(t *testing.T) {
	for _, test := range []struct {
		name  string
		take  func(t *testing.T, path string) (free func())
		hears string
	}{
		{"another handler answers", func(t *testing.T, path string) func() {
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			return func() { listener.Close() }
		}, "another process answers there"},
		{"a file", func(t *testing.T, path string) func() {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(path) }
		}, "is not a socket"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := shortDir(t)
			free := test.take(t, filepath.Join(dir, "static.sock"))
			a, _ := startAgent(t, dir, nil)
			lines := make(lineWriter, 100)
			start(t, static{"static"}, discovery.WithDirectory(dir), discovery.WithLogger(slog.New(slog.NewTextHandler(lines, nil))))
			select {
			case line := <-lines:
				if !strings.Contains(line, "waiting ") || !strings.Contains(line, test.hears) {
					t.Errorf("it says %s", line)
				}
			case <-time.After(waitTimeout):
				t.Fatal("it says nothing")
			}
			free()
			a.wait(t)
		})
	}
}

type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}
