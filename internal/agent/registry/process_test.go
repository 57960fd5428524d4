package registry

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/unixsock"
)

const echoDetails = "descriptions: [one, two]"

func TestServedHandler(t *testing.T) {
	leaktest.Check(t)
	dir := shortDir(t)
	h, offline := echo(t, dir)
	socket := filepath.Join(dir, "debugEcho.sock")
	stop := serve(t, dir, h) // before the agent

	a := startAgent(t, dir, nil)
	a.Ask(question("c", "debugEcho", echoDetails))
	a.o.devices(t, "c", socket, "one", "two")
	offline(true)
	a.o.devices(t, "c", socket)
	offline(false)
	a.o.devices(t, "c", socket, "one", "two")
	a.Ask(question("d", "debugEcho", "nonsense"))
	a.o.failure(t, "d", socket, "discoveryDetails")
	a.o.until(t, "a final failure", func() bool { return a.o.fails["d "+socket].Final })
	a.Drop(question("d", "", "").Configuration)

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
	a.Ask(question("c", "debugEcho", echoDetails))
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
	a.Ask(question("c", "debugEcho", echoDetails))
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
	a.Ask(question("c", "h", ""))
	if err := a.add(&endpoint{name: "h", id: link, source: &remote{address: address{"unix", link}, rules: a.rules}, patience: socketPatience}); err != nil {
		t.Fatal(err)
	}
	a.o.failure(t, "c", link, "is not a socket")
}

func TestRunFails(t *testing.T) {
	run := func(dir string) error {
		r, err := New(Options{Dir: dir, Observer: newAwait(), SocketGID: os.Getgid()})
		if err != nil {
			t.Fatal(err)
		}
		return r.Run(t.Context())
	}
	dir := shortDir(t)
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(plain); err == nil {
		t.Error("a plain file was taken as directory")
	}
	other, err := unixsock.Listen(filepath.Join(dir, Socket), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := run(dir); !errors.Is(err, unixsock.ErrInUse) {
		t.Errorf("with another agent there: %v", err)
	}
}
