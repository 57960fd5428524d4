package discoverytest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/wire"
)

// serve runs h under discovery.Serve and waits until it has registered with an
// agent. It returns a handler that calls h over its socket.
func serve(t *testing.T, h discovery.Handler) discovery.Handler {
	t.Helper()
	dir, err := os.MkdirTemp("", "akri") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })

	listener, err := net.Listen("unix", filepath.Join(dir, "agent-registration.sock"))
	if err != nil {
		t.Fatal(err)
	}
	agent := &agent{registered: make(chan *pb.RegisterDiscoveryHandlerRequest, 1)}
	server := grpc.NewServer()
	pb.RegisterRegistrationServer(server, agent)
	go server.Serve(listener)
	t.Cleanup(server.Stop)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- discovery.Serve(ctx, h, discovery.WithDirectory(dir)) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(waitTimeout):
			t.Errorf("Serve has not returned within %s", waitTimeout)
		}
	})

	var request *pb.RegisterDiscoveryHandlerRequest
	select {
	case request = <-agent.registered:
	case err := <-ended:
		ended <- err
		t.Fatalf("Serve: %v", err)
	case <-time.After(waitTimeout):
		t.Fatalf("no registration within %s", waitTimeout)
	}
	if request.Name != h.Name() || request.Shared != h.Shared() {
		t.Errorf("registered as %q, shared %t; want %q, %t", request.Name, request.Shared, h.Name(), h.Shared())
	}
	conn, err := grpc.NewClient("unix:"+request.Endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{Handler: h, pb: pb.NewDiscoveryHandlerClient(conn)}
}

// agent takes registrations.
type agent struct {
	pb.UnimplementedRegistrationServer
	registered chan *pb.RegisterDiscoveryHandlerRequest
}

func (a *agent) RegisterDiscoveryHandler(_ context.Context, m *pb.RegisterDiscoveryHandlerRequest) (*pb.Empty, error) {
	select {
	case a.registered <- m:
	default: // handlers register again whenever a request was dropped
	}
	return &pb.Empty{}, nil
}

// client calls a served handler.
type client struct {
	discovery.Handler // for Name and Shared
	pb                pb.DiscoveryHandlerClient
}

func (c *client) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.pb.Discover(ctx, wire.Request(req))
	if err != nil {
		return meaning(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return meaning(err)
		}
		if err := report(wire.Devices(m)); err != nil {
			return err
		}
	}
}

func meaning(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return discovery.Invalid("%s", status.Convert(err).Message())
	case codes.Canceled:
		return context.Canceled
	}
	return err
}
