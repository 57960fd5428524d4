//go:build vm

package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/test/vm/guest"
)

// patience is how long is waited for what happens in the guest, which is slow.
const patience = eventually.Patience

// handler is the udev handler in the guest.
type handler struct {
	process *guest.Process
	conn    *grpc.ClientConn
}

// startHandler starts the handler as its image does. There is no agent; the tests
// ask it what an agent would.
func startHandler(t *testing.T, g *guest.Guest) *handler {
	t.Helper()
	h := &handler{process: g.Start(t, []string{"DISCOVERY_HANDLERS_DIRECTORY=" + handlersFolder}, "/bin/akri-discovery", "udev")}
	var err error
	h.conn, err = grpc.NewClient("passthrough:///udev", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return g.Dial(ctx, "unix", handlersFolder+"/udev.sock")
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conn.Close() })
	return h
}

// request is one that the handler answers until the test ends.
type request struct {
	t *testing.T

	mu    sync.Mutex
	lists []*pb.DiscoverResponse
	err   error
}

func (h *handler) discover(t *testing.T, details ...string) *request {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := pb.NewDiscoveryHandlerClient(h.conn).Discover(ctx, &pb.DiscoverRequest{DiscoveryDetails: strings.Join(details, "\n")}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	r := &request{t: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			list, err := stream.Recv()
			r.mu.Lock()
			if r.err = err; err == nil {
				r.lists = append(r.lists, list)
			}
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// last returns the newest list.
func (r *request) last() (*pb.DiscoverResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	if len(r.lists) == 0 {
		return nil, errors.New("there is no list yet")
	}
	return r.lists[len(r.lists)-1], nil
}

// want waits until exactly these device nodes are listed, and returns the devices
// by their nodes.
func (r *request) want(nodes ...string) map[string]*pb.Device {
	r.t.Helper()
	var devices map[string]*pb.Device
	eventually.Succeeds(r.t, patience, func(context.Context) error {
		list, err := r.last()
		if err != nil {
			return err
		}
		devices = map[string]*pb.Device{}
		var got []string
		for _, d := range list.GetDevices() {
			node := d.GetProperties()["UDEV_DEVNODE"]
			devices[node] = d
			got = append(got, node)
		}
		if slices.Sort(got); !slices.Equal(got, nodes) {
			return fmt.Errorf("there are %v, want %v (%s)", got, nodes, list.GetNote())
		}
		return nil
	})
	return devices
}
