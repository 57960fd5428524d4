package deviceplugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/akri-go/akri/internal/eventually"
)

// fakeKubelet is NOT a kubelet. It does what pkg/kubelet/cm/devicemanager does
// on the wire, for tests without root: it deletes the sockets of its folder when
// it starts, takes registrations, connects back, and watches the lists. A second
// registration under a socket name that it has is refused, as there.
type fakeKubelet struct {
	pluginapi.UnimplementedRegistrationServer
	t    testing.TB
	dir  string
	grpc *grpc.Server

	mu      sync.Mutex
	changed *sync.Cond
	clients map[string]*fakeClient // by resource, the last that registered
	sockets map[string]bool        // connected, by resource and socket
	refuse  error
	// hold, if not nil, keeps back the answers to registrations until it is
	// closed; the lists are watched meanwhile.
	hold chan struct{}
	// registered counts registrations.
	registered int
	wg         sync.WaitGroup
}

type fakeClient struct {
	conn   *grpc.ClientConn
	api    pluginapi.DevicePluginClient
	list   map[string]string // id to health; nil before the first list
	lists  int
	closed bool
}

func startKubelet(t testing.TB, dir string) *fakeKubelet {
	t.Helper()
	k := &fakeKubelet{t: t, dir: dir, clients: make(map[string]*fakeClient), sockets: make(map[string]bool)}
	k.changed = sync.NewCond(&k.mu)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Type() == os.ModeSocket {
			// The plugin removes its own, too.
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	listener, err := net.Listen("unix", filepath.Join(dir, kubeletSocket))
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // one that is killed leaves it
	k.grpc = grpc.NewServer()
	pluginapi.RegisterRegistrationServer(k.grpc, k)
	k.wg.Go(func() { _ = k.grpc.Serve(listener) })
	t.Cleanup(k.stop)
	return k
}

// stop is a kill.
func (k *fakeKubelet) stop() {
	k.grpc.Stop()
	k.mu.Lock()
	for _, c := range k.clients {
		c.conn.Close()
	}
	k.mu.Unlock()
	k.wg.Wait()
}

func (k *fakeKubelet) Register(ctx context.Context, r *pluginapi.RegisterRequest) (*pluginapi.Empty, error) {
	k.mu.Lock()
	k.registered++
	refuse, hold := k.refuse, k.hold
	key := r.ResourceName + " " + r.Endpoint
	if refuse == nil && k.sockets[key] {
		refuse = fmt.Errorf("device plugin already connected: %s", r.Endpoint)
	}
	k.sockets[key] = true
	k.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	conn, err := grpc.NewClient("unix://"+filepath.Join(k.dir, r.Endpoint), grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	c := &fakeClient{conn: conn, api: pluginapi.NewDevicePluginClient(conn)}
	options, err := c.api.GetDevicePluginOptions(ctx, &pluginapi.Empty{}, grpc.WaitForReady(true))
	if err != nil || !options.GetPreferredAllocationAvailable || options.PreStartRequired {
		conn.Close()
		return nil, fmt.Errorf("options %v: %w", options, err)
	}
	k.mu.Lock()
	k.clients[r.ResourceName] = c
	k.mu.Unlock()
	k.wg.Go(func() { k.watch(r.ResourceName, c) })
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	return &pluginapi.Empty{}, nil
}

func (k *fakeKubelet) watch(resource string, c *fakeClient) {
	defer func() {
		c.conn.Close()
		k.mu.Lock()
		c.closed = true
		if k.clients[resource] == c {
			delete(k.clients, resource)
		}
		k.mu.Unlock()
		k.changed.Broadcast()
	}()
	stream, err := c.api.ListAndWatch(context.Background(), &pluginapi.Empty{})
	if err != nil {
		return
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return
		}
		list := make(map[string]string, len(response.Devices))
		for _, d := range response.Devices {
			list[d.ID] = d.Health
		}
		k.mu.Lock()
		c.list = list
		c.lists++
		k.mu.Unlock()
		k.changed.Broadcast()
	}
}

// offers returns what is offered now: "<resource>: <id> <id>! …" with "!" for
// unhealthy ones.
func (k *fakeKubelet) offers() []string {
	var offers []string
	for resource, c := range k.clients {
		if c.list == nil {
			continue
		}
		ids := []string{}
		for _, id := range slices.Sorted(maps.Keys(c.list)) {
			if c.list[id] != pluginapi.Healthy {
				id += "!"
			}
			ids = append(ids, id)
		}
		offers = append(offers, strings.TrimPrefix(resource, "akri.sh/")+": "+strings.Join(ids, " "))
	}
	slices.Sort(offers)
	return offers
}

// await waits until a condition holds, with mu held.
func (k *fakeKubelet) await(what string, condition func() bool) {
	k.t.Helper()
	deadline := time.Now().Add(eventually.Patience)
	late := time.AfterFunc(time.Until(deadline)+time.Millisecond, k.changed.Broadcast)
	defer late.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	for !condition() {
		if time.Now().After(deadline) {
			k.t.Fatalf("waiting for %s; offered now:\n%s", what, strings.Join(k.offers(), "\n"))
		}
		k.changed.Wait()
	}
}

// wantOffers waits until exactly these are offered.
func (k *fakeKubelet) wantOffers(want ...string) {
	k.t.Helper()
	k.await("offers\n"+strings.Join(want, "\n"), func() bool { return slices.Equal(k.offers(), want) })
}

func (k *fakeKubelet) client(resource string) pluginapi.DevicePluginClient {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.clients["akri.sh/"+resource]
	if c == nil {
		k.t.Fatalf("%s is not registered", resource)
	}
	return c.api
}

func (k *fakeKubelet) allocate(resource string, containers ...[]string) (*pluginapi.AllocateResponse, error) {
	k.t.Helper()
	req := &pluginapi.AllocateRequest{}
	for _, ids := range containers {
		req.ContainerRequests = append(req.ContainerRequests, &pluginapi.ContainerAllocateRequest{DevicesIds: ids})
	}
	return k.client(resource).Allocate(k.t.Context(), req)
}
