package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/unixsock"
)

const (
	uds     = pb.RegisterDiscoveryHandlerRequest_UDS
	network = pb.RegisterDiscoveryHandlerRequest_NETWORK
)

const echoDetails = "descriptions: [one, two]"

func TestServedHandler(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	h, offline := echo(t, dir)
	socket := filepath.Join(dir, "debugEcho.sock")
	stop := serve(t, dir, h) // before the agent

	a := startAgent(t, dir, nil)
	a.Ask(requestOf("c", "debugEcho", echoDetails))
	a.o.devices(t, "c", socket, "one", "two")
	offline(true)
	a.o.devices(t, "c", socket)
	offline(false)
	a.o.devices(t, "c", socket, "one", "two")
	a.Ask(requestOf("d", "debugEcho", "nonsense"))
	a.o.failure(t, "d", socket, "discoveryDetails")
	a.o.until(t, "a final failure", func() bool { return a.o.fails["d "+socket].Final })
	a.Drop(requestOf("d", "", "").Configuration)

	// The handler restarts.
	stop()
	a.o.failure(t, "c", socket, "no such file")
	stop = serve(t, dir, h)
	a.o.devices(t, "c", socket, "one", "two")

	// Its socket is removed.
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	a.o.until(t, "a loss", func() bool { return a.o.lost["c "+socket] >= 2 })
	a.o.devices(t, "c", socket, "one", "two")

	// The agent restarts.
	a.stop()
	a = startAgent(t, dir, nil)
	a.Ask(requestOf("c", "debugEcho", echoDetails))
	a.o.devices(t, "c", socket, "one", "two")

	// The agent's socket is removed.
	if err := os.Remove(filepath.Join(dir, Socket)); err != nil {
		t.Fatal(err)
	}
	stop()
	a.o.failure(t, "c", socket, "")
	serve(t, dir, h)
	a.o.devices(t, "c", socket, "one", "two")
}

func TestBuiltinAndNetworkHandler(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	h, offline := echo(t, dir)
	a := startAgent(t, dir, nil)
	a.Ask(requestOf("c", "debugEcho", echoDetails))
	a.o.failure(t, "c", "", "no discovery handler")
	if err := a.Builtin(h); err != nil {
		t.Fatal(err)
	}
	a.o.devices(t, "c", "builtin:debugEcho", "one", "two")
	serve(t, dir, h, discovery.WithAddress("127.0.0.1"), discovery.WithPort(0))
	a.o.until(t, "a report over the network", func() bool {
		for _, r := range a.o.reports {
			if strings.HasPrefix(r.Endpoint, "http://127.0.0.1:") && len(r.Devices) == 2 {
				return true
			}
		}
		return false
	})
	offline(true)
	a.o.until(t, "two empty reports", func() bool {
		for _, r := range a.o.reports {
			if len(r.Devices) > 0 {
				return false
			}
		}
		return len(a.o.reports) == 2
	})
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	refusals := make(chan Refusal, 100)
	startAgent(t, dir, func(o *Options) { o.Refused = func(r Refusal) { refusals <- r } })
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, Socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewRegistrationClient(conn)
	for _, test := range []struct {
		request *pb.RegisterDiscoveryHandlerRequest
		code    codes.Code
	}{
		{&pb.RegisterDiscoveryHandlerRequest{Name: "", Endpoint: dir + "/x.sock"}, codes.InvalidArgument},
		{&pb.RegisterDiscoveryHandlerRequest{Name: "a\nb", Endpoint: dir + "/x.sock"}, codes.InvalidArgument},
		{&pb.RegisterDiscoveryHandlerRequest{Name: strings.Repeat("a", 300), Endpoint: dir + "/x.sock"}, codes.InvalidArgument},
		{&pb.RegisterDiscoveryHandlerRequest{Name: "b", Endpoint: "/run/containerd/containerd.sock"}, codes.InvalidArgument},
		{&pb.RegisterDiscoveryHandlerRequest{Name: "c", Endpoint: "https://10.0.0.1:1", EndpointType: network}, codes.InvalidArgument},
		{&pb.RegisterDiscoveryHandlerRequest{Name: "d", Endpoint: dir + "/x.sock", EndpointType: 9}, codes.InvalidArgument},
		{&pb.RegisterDiscoveryHandlerRequest{Name: "e", Endpoint: strings.Repeat("x", 100_000)}, codes.ResourceExhausted},
		{&pb.RegisterDiscoveryHandlerRequest{Name: "f", Endpoint: dir + "/x.sock"}, codes.OK},
	} {
		_, err := client.RegisterDiscoveryHandler(t.Context(), test.request, grpc.WaitForReady(true))
		if status.Code(err) != test.code {
			t.Errorf("%.100v: got %v, want %s", test.request, err, test.code)
		}
	}
	for range 5 { // the same again is not told
		client.RegisterDiscoveryHandler(t.Context(), &pb.RegisterDiscoveryHandlerRequest{Name: "b", Endpoint: "x"})
	}
	close(refusals)
	told, repeated := 0, 0
	for r := range refusals {
		if told++; r.Repeated {
			repeated++
		}
		if r.UID != os.Getuid() || r.Err == nil || r.Reason != Malformed {
			t.Errorf("got %+v", r)
		}
	}
	if told != 11 || repeated != 5 {
		t.Errorf("told of %d refusals, %d of them repeated, want 11 and 5", told, repeated)
	}
}

// A name that is bound to a user is not for others, whatever their group.
func TestNamesThatAreBound(t *testing.T) {
	dir := shortDir(t)
	refusals := make(chan Refusal, 1)
	a := startAgent(t, dir, func(o *Options) {
		o.Refused = func(r Refusal) { refusals <- r }
		o.HandlerUIDs = map[string][]int{"mine": {os.Getuid()}, "another's": {os.Getuid() + 1}}
	})
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, Socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewRegistrationClient(conn)
	for name, want := range map[string]codes.Code{"mine": codes.OK, "another's": codes.PermissionDenied, "free": codes.OK} {
		_, err := client.RegisterDiscoveryHandler(t.Context(), &pb.RegisterDiscoveryHandlerRequest{Name: name, Endpoint: dir + "/x.sock"}, grpc.WaitForReady(true))
		if status.Code(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if r := <-refusals; r.Reason != NotPermitted || !strings.Contains(r.Err.Error(), "agent.handlerUIDs") {
		t.Errorf("told of %+v", r)
	}
	if n := a.Endpoints(); n["another's"] != 0 || n["mine"] != 1 {
		t.Errorf("registered are %v", n)
	}
}

// A socket that is a link must not lead the agent elsewhere.
func TestEndpointThatIsALink(t *testing.T) {
	dir, elsewhere := shortDir(t), shortDir(t)
	secret, err := net.Listen("unix", filepath.Join(elsewhere, "secret.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	link := filepath.Join(dir, "link.sock")
	if err := os.Symlink(secret.Addr().String(), link); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, dir, nil)
	a.Ask(requestOf("c", "h", ""))
	if err := a.add(&endpoint{name: "h", id: link, client: a.remote(contract.Address{Network: "unix", Dial: link, Dir: dir}), grace: socketGrace}); err != nil {
		t.Fatal(err)
	}
	a.o.failure(t, "c", link, "is not a socket")
}

// Whatever others do to the agent's name, the agent has it in the end.
func TestAgentTakesItsName(t *testing.T) {
	elsewhere := shortDir(t)
	secret := filepath.Join(elsewhere, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		take func(path string) error
	}{
		{"a file", func(path string) error { return os.WriteFile(path, nil, 0o600) }},
		{"a link", func(path string) error { return os.Symlink(secret, path) }},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"a folder that is not empty", func(path string) error { return os.MkdirAll(filepath.Join(path, "inner"), 0o700) }},
		{"a dead socket", func(path string) error { return deadSocket(path) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaktest.Check(t)
			dir := shortDir(t)
			if err := test.take(filepath.Join(dir, Socket)); err != nil {
				t.Fatal(err)
			}
			h, _ := echo(t, dir)
			a := startAgent(t, dir, nil)
			a.Ask(requestOf("c", "debugEcho", echoDetails))
			serve(t, dir, h)
			a.o.devices(t, "c", filepath.Join(dir, "debugEcho.sock"), "one", "two")
		})
	}
	if info, err := os.Stat(secret); err != nil || info.Mode() != 0o600 {
		t.Errorf("what a link led to was changed: %v, %v", info, err)
	}
}

func deadSocket(path string) error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	return listener.Close()
}

// What is wrong with its folder or its socket never ends the agent: it says what
// it waits for, and goes on.
func TestAgentWaitsForItsName(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	folder := filepath.Join(dir, "akri")
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, folder, nil)
	a.says(t, "not a directory")
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	a.says(t, "")
	a.stop()

	other, err := unixsock.Listen(filepath.Join(folder, Socket), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	a = startAgent(t, folder, nil)
	a.says(t, "another process answers there")
	if other.Lost() {
		t.Error("the other agent's socket was taken away")
	}
	other.Close()
	a.says(t, "")
}

// Who connects and says nothing keeps nobody else from registering.
func TestIdleConnections(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	a := startAgent(t, dir, nil)
	a.says(t, "")
	ctx, stop := context.WithCancel(t.Context())
	var peers sync.WaitGroup
	defer func() { stop(); peers.Wait() }()
	for range maxConnections + 20 {
		peers.Go(func() { stayConnected(ctx, filepath.Join(dir, Socket)) })
	}
	h, _ := echo(t, dir)
	serve(t, dir, h)
	a.Ask(requestOf("c", "debugEcho", echoDetails))
	a.o.devices(t, "c", filepath.Join(dir, "debugEcho.sock"), "one", "two")
}

// stayConnected has a connection at which it says nothing, and makes another when
// that is closed.
func stayConnected(ctx context.Context, socket string) {
	for ctx.Err() == nil {
		if conn, err := net.Dial("unix", socket); err == nil {
			end := context.AfterFunc(ctx, func() { conn.Close() })
			_, _ = io.Copy(io.Discard, conn)
			end()
			conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestOldestOfMost(t *testing.T) {
	a1, a2, b1, b2 := peerID{1, 10}, peerID{1, 11}, peerID{2, 20}, peerID{2, 21}
	for _, test := range []struct {
		name string
		open []peerID
		want int
	}{
		{"one user", []peerID{a1, a1, a1}, 0},
		{"the user with most", []peerID{a1, b1, b1, a2, b2}, 1},
		{"of that the process with most", []peerID{b2, a1, b1, b1, b1}, 2},
		{"pids that cannot be seen", []peerID{{1, 0}, {2, 0}, {2, 0}}, 1},
	} {
		if got := oldestOfMost(test.open); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// Sockets of handlers that are no more are removed, and nothing else.
func TestDeadSocketsAreRemoved(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	old, fresh, file := filepath.Join(dir, "old.sock"), filepath.Join(dir, "fresh.sock"), filepath.Join(dir, "file")
	if err := errors.Join(deadSocket(old), os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := net.Listen("unix", filepath.Join(dir, "live.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	// One that was bound a moment ago may be listened at soon.
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: fresh}); err != nil {
		t.Fatal(err)
	}
	// It stays young for longer than a busy machine takes until the sweep.
	if err := os.Chtimes(fresh, time.Time{}, time.Now().Add(9*time.Second)); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, dir, nil)
	a.says(t, "") // its own socket is there
	gone(t, old)
	if err := syscall.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fresh, file, live.Addr().String(), filepath.Join(dir, Socket)} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	a.stop()
}

// gone waits until a file is not there any more.
func gone(t *testing.T, path string) {
	t.Helper()
	timeout := time.After(waitTimeout)
	for {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-timeout:
			t.Fatalf("%s is still there", path)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Where no inotify instances are left, agent and handlers do all that they do
// otherwise, a second later. The child has a user namespace with none.
func TestWithoutInotify(t *testing.T) {
	if os.Getenv("REGISTRY_TEST_INOTIFY") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWithoutInotify$", "-test.v")
		cmd.Env = append(os.Environ(), "REGISTRY_TEST_INOTIFY=none")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil && strings.Contains(err.Error(), "fork/exec") {
			t.Skipf("needs a user namespace: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	socket := filepath.Join(dir, "debugEcho.sock")
	h, offline := echo(t, dir)
	serve(t, dir, h)
	a := startAgent(t, dir, nil)
	a.Ask(requestOf("c", "debugEcho", echoDetails))
	a.o.devices(t, "c", socket, "one", "two")
	offline(true)
	a.o.devices(t, "c", socket)
	offline(false)
	a.o.devices(t, "c", socket, "one", "two")
	for _, path := range []string{socket, filepath.Join(dir, Socket)} {
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(waitTimeout); ; <-time.After(5 * time.Millisecond) {
			if now, err := os.Lstat(path); err == nil && (!os.SameFile(now, before) || !now.ModTime().Equal(before.ModTime())) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not made again", path)
			}
		}
	}
	a.o.devices(t, "c", socket, "one", "two")
}
