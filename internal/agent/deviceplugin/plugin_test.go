package deviceplugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// offlineAPI is a recorder without an API server.
type offlineAPI struct{}

func (offlineAPI) Claim(context.Context, types.NamespacedName, map[string]v0.Usage) error {
	return errors.New("no API server")
}
func (offlineAPI) Record(types.NamespacedName, map[string]v0.Usage) {}

// links is a node's /dev: what is not in it leads to itself, "" is gone.
type links map[string]string

func (l links) Resolve(d discovery.Device) (discovery.Device, error) {
	d.DeviceSpecs = slices.Clone(d.DeviceSpecs)
	for i, s := range d.DeviceSpecs {
		switch end, ok := l[s.HostPath]; {
		case ok && end == "":
			return d, fmt.Errorf("device node: %s is not there", s.HostPath)
		case ok:
			d.DeviceSpecs[i].HostPath = end
		}
	}
	return d, nil
}

// fixture is a plugin with the real ledger.
type fixture struct {
	t      testing.TB
	dir    string
	dev    links
	ledger *ledger.Ledger
	plugin *Plugin
	told   []Allocation
	stop   func()
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "kubelet") // short: t.TempDir may be too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &fixture{t: t, dir: dir, dev: links{}}
	log := slog.New(slog.DiscardHandler)
	n.ledger = ledger.New(ledger.Options{
		Node:     "a",
		Store:    checkpoint.File[ledger.State]{Path: filepath.Join(t.TempDir(), "claims.json"), Version: ledger.StateVersion},
		Recorder: offlineAPI{}, Logger: log,
	})
	n.plugin, err = New(Options{
		Dir: dir, Node: "a", Ledger: n.ledger, HostPaths: n.dev, Logger: log,
		Allocated: func(a Allocation) { n.told = append(n.told, a) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.ledger.Subscribe(n.plugin.SlotsChanged)
	return n
}

func (n *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.plugin.Run(ctx) }()
	n.stop = func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("run: %v", err)
		}
		n.stop = func() {}
	}
	n.t.Cleanup(func() { n.stop() })
}

func (n *fixture) changed(devices ...inventory.Device) {
	for _, d := range devices {
		n.ledger.DeviceChanged(d)
		n.plugin.DeviceChanged(d)
	}
}

func (n *fixture) gone(d inventory.Device) {
	n.ledger.DeviceGone(d)
	n.plugin.DeviceGone(d)
}

func camera(hash string, capacity int) inventory.Device {
	return inventory.Device{
		Instance:      types.NamespacedName{Namespace: "ns", Name: "cam-" + hash},
		Configuration: "cam", Capacity: capacity, Usable: true,
		Reported: discovery.Device{
			ID: hash, Properties: map[string]string{"NODE": "/dev/" + hash},
			DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/dev/" + hash, HostPath: "/dev/" + hash, Permissions: "rw"}},
		},
		BrokerProperties: map[string]string{"RATE": "1"},
	}
}

func TestDevicesComeAndGo(t *testing.T) {
	n := newFixture(t)
	k := startKubelet(t, n.dir)
	a, b := camera("00000a", 2), camera("00000b", 1)
	n.changed(a) // before it runs
	n.run()
	k.wantOffers("cam-00000a: cam-00000a-0 cam-00000a-1", "cam: cam-00000a-1")
	n.changed(b)
	k.wantOffers("cam-00000a: cam-00000a-0 cam-00000a-1", "cam-00000b: cam-00000b-0", "cam: cam-00000a-1 cam-00000b-0")
	a.Usable = false
	a.Capacity = 1
	n.changed(a)
	k.wantOffers("cam-00000a: cam-00000a-0!", "cam-00000b: cam-00000b-0", "cam: cam-00000a-0! cam-00000b-0")
	n.gone(a)
	k.wantOffers("cam-00000b: cam-00000b-0", "cam: cam-00000b-0")
	n.gone(b)
	k.wantOffers()
	a.Usable = true
	n.changed(a)
	k.wantOffers("cam-00000a: cam-00000a-0", "cam: cam-00000a-0")

	// Sockets are for connecting only, and none is left.
	n.stop()
	k.wantOffers()
	if left, _ := filepath.Glob(filepath.Join(n.dir, socketPrefix+"*")); len(left) > 0 {
		t.Errorf("sockets are left: %v", left)
	}
}

func TestAllocate(t *testing.T) {
	n := newFixture(t)
	k := startKubelet(t, n.dir)
	a, b := camera("00000a", 2), camera("00000b", 2)
	n.changed(a, b)
	n.run()
	k.wantOffers("cam-00000a: cam-00000a-0 cam-00000a-1", "cam-00000b: cam-00000b-0 cam-00000b-1", "cam: cam-00000a-1 cam-00000b-1")

	// Two units are two devices, in the container's one answer.
	got, err := k.allocate("cam", []string{"cam-00000b-1", "cam-00000a-1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.ContainerResponses) != 1 {
		t.Fatalf("%d answers for one container", len(got.ContainerResponses))
	}
	for key, want := range map[string]string{
		"NODE": "/dev/00000a", "NODE_00000A": "/dev/00000a", "NODE_00000B": "/dev/00000b",
		"RATE": "1", "RATE_00000A": "1", "RATE_00000B": "1",
	} {
		if value := got.ContainerResponses[0].Envs[key]; value != want {
			t.Errorf("%s = %q, want %q", key, value, want)
		}
	}
	if devices := got.ContainerResponses[0].Devices; len(devices) != 2 || devices[0].HostPath != "/dev/00000a" || devices[1].Permissions != "rw" {
		t.Errorf("devices = %v", devices)
	}
	// Each door sees what the other has taken; the next unit is offered.
	k.wantOffers("cam-00000a: cam-00000a-0 cam-00000a-1!", "cam-00000b: cam-00000b-0 cam-00000b-1!",
		"cam: cam-00000a-0 cam-00000a-1 cam-00000b-0 cam-00000b-1")

	// Containers of one Pod; answers are in order.
	got, err = k.allocate("cam-00000a", []string{"cam-00000a-0"})
	if err != nil || len(got.ContainerResponses) != 1 {
		t.Fatalf("allocate: %v, %v", got, err)
	}
	k.wantOffers("cam-00000a: cam-00000a-0 cam-00000a-1!", "cam-00000b: cam-00000b-0 cam-00000b-1!",
		"cam: cam-00000a-1 cam-00000b-0 cam-00000b-1")

	refused := []struct {
		what, resource string
		containers     [][]string
		code           codes.Code
		says           string
	}{
		{"taken through the other door", "cam", [][]string{{"cam-00000a-0"}}, codes.ResourceExhausted, "through the resource akri.sh/cam-00000a"},
		{"half of it taken", "cam", [][]string{{"cam-00000b-0"}, {"cam-00000a-0"}}, codes.ResourceExhausted, "holds it"},
		{"two of one device", "cam", [][]string{{"cam-00000b-0", "cam-00000b-1"}}, codes.FailedPrecondition, "of one device"},
		{"twice", "cam", [][]string{{"cam-00000b-0"}, {"cam-00000b-0"}}, codes.FailedPrecondition, "asked for twice"},
		{"no such device", "cam", [][]string{{"cam-00000c-0"}}, codes.FailedPrecondition, "no such device"},
		{"of another resource", "cam-00000a", [][]string{{"cam-00000b-0"}}, codes.FailedPrecondition, "no such device"},
		{"no slot id", "cam", [][]string{{"x"}}, codes.FailedPrecondition, "want <instance>-<index>"},
		{"beyond capacity", "cam", [][]string{{"cam-00000b-7"}}, codes.FailedPrecondition, "has 2 slots"},
	}
	for _, r := range refused {
		_, err := k.allocate(r.resource, r.containers...)
		if status.Code(err) != r.code || !strings.Contains(err.Error(), r.says) {
			t.Errorf("%s: %v, want %v that says %q", r.what, err, r.code, r.says)
		}
	}
	if claims := n.ledger.Claims(); len(claims) != 3 {
		t.Errorf("claims are %v, want the 3 that were granted", claims)
	}
	if len(n.told) != 2+len(refused) || n.told[1].Err != nil || n.told[2].Err == nil || n.told[2].Resource != "akri.sh/cam" {
		t.Errorf("told of %v", n.told)
	}

	b.Usable, b.State, b.Reason = false, v0.DeviceOffline, v0.ReasonNotReported
	n.changed(b)
	if _, err := k.allocate("cam", []string{"cam-00000b-1"}); err == nil || !strings.Contains(err.Error(), "offline on node a (NotReported)") {
		t.Errorf("offline device: %v", err)
	}
}

// A device node is looked at when a container gets it: a container gets what it
// leads to then, or nothing, and a device that is not right is not claimed.
func TestAllocateLooksAtDeviceNodes(t *testing.T) {
	n := newFixture(t)
	n.dev["/dev/00000a"], n.dev["/dev/00000b"] = "/dev/ttyUSB7", ""
	k := startKubelet(t, n.dir)
	n.changed(camera("00000a", 1), camera("00000b", 1))
	n.run()
	k.wantOffers("cam-00000a: cam-00000a-0", "cam-00000b: cam-00000b-0", "cam: cam-00000a-0 cam-00000b-0")
	got, err := k.allocate("cam-00000a", []string{"cam-00000a-0"})
	if err != nil {
		t.Fatal(err)
	}
	if d := got.ContainerResponses[0].Devices[0]; d.HostPath != "/dev/ttyUSB7" || d.ContainerPath != "/dev/00000a" {
		t.Errorf("device %v, want the end of the link where its name was", d)
	}
	const says = "allocate slot cam-00000b-0: device node: /dev/00000b is not there"
	if _, err := k.allocate("cam", []string{"cam-00000b-0"}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), says) {
		t.Errorf("gone: %v, want one that says %q", err, says)
	}
	if claims := n.ledger.Claims(); len(claims) != 1 {
		t.Errorf("claims are %v, want that of 00000a", claims)
	}
}

func TestKubeletRestarts(t *testing.T) {
	n := newFixture(t)
	n.changed(camera("00000a", 1))
	n.run() // before there is a kubelet
	offers := []string{"cam-00000a: cam-00000a-0", "cam: cam-00000a-0"}
	var k *fakeKubelet
	for range 3 {
		k = startKubelet(t, n.dir)
		k.wantOffers(offers...)
		if _, err := k.allocate("cam-00000a", []string{"cam-00000a-0"}); err != nil {
			t.Error(err)
		}
		offers[1] = "cam: "
		k.stop()
	}
	// It comes up and refuses at first.
	k = startKubelet(t, n.dir)
	k.mu.Lock()
	k.refuse = errors.New("not yet")
	k.mu.Unlock()
	n.changed(camera("00000b", 1))
	k.mu.Lock()
	k.refuse = nil
	k.mu.Unlock()
	k.wantOffers("cam-00000a: cam-00000a-0", "cam-00000b: cam-00000b-0", "cam: cam-00000b-0")

	// It forgets one resource, as it does when a stream breaks.
	k.mu.Lock()
	k.clients["akri.sh/cam"].conn.Close()
	k.mu.Unlock()
	k.await("the resource to be registered anew", func() bool {
		c := k.clients["akri.sh/cam"]
		return c != nil && c.list != nil && !c.closed
	})
}

// garbling is a ledger whose first answers make lists that cannot be encoded.
type garbling struct {
	Ledger
	left atomic.Int32
}

func (g *garbling) Slots(instance types.NamespacedName) []ledger.Slot {
	slots := g.Ledger.Slots(instance)
	if g.left.Add(-1) >= 0 {
		slots = []ledger.Slot{{ID: "\xff"}}
	}
	return slots
}

// The kubelet asks for a list before it has answered the registration, and the
// list cannot be sent: the resource is registered anew.
func TestListCannotBeSent(t *testing.T) {
	n := newFixture(t)
	g := &garbling{Ledger: n.ledger}
	g.left.Store(2)
	n.plugin.ledger = g
	k := startKubelet(t, n.dir)
	k.hold = make(chan struct{})
	n.changed(camera("00000a", 1))
	n.run()
	k.wantOffers("cam-00000a: cam-00000a-0", "cam: cam-00000a-0")
	close(k.hold)
}

func TestDeadSocketsAreRemoved(t *testing.T) {
	n := newFixture(t)
	dead := filepath.Join(n.dir, "akri-dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	alive, err := net.Listen("unix", filepath.Join(n.dir, "akri-alive.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	others := filepath.Join(n.dir, "other.sock")
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: others, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	n.plugin.removeDeadSockets()
	n.plugin.queue.ShutDown()
	n.plugin.lists.ShutDown()
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead socket is there: %v", err)
	}
	for _, path := range []string{others, alive.Addr().String()} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestNudge(t *testing.T) {
	n := newFixture(t)
	k := startKubelet(t, n.dir)
	n.changed(camera("00000a", 1))
	n.run()
	k.wantOffers("cam-00000a: cam-00000a-0", "cam: cam-00000a-0")
	lists := func() (sum int) {
		for _, c := range k.clients {
			sum += c.lists
		}
		return sum
	}
	k.mu.Lock()
	before := lists()
	k.mu.Unlock()
	n.plugin.SlotsChanged(camera("00000a", 1).Instance) // nothing changed: not sent
	n.plugin.Nudge()
	k.await("one more list", func() bool { return lists() == before+1 })
}

func TestNamesInUse(t *testing.T) {
	n := newFixture(t)
	k := startKubelet(t, n.dir)
	n.run()
	first, second := camera("00000a", 1), camera("00000b", 1)
	second.Instance.Namespace = "other"
	n.changed(first, second)
	k.wantOffers("cam-00000a: cam-00000a-0", "cam-00000b: cam-00000b-0", "cam: cam-00000a-0")
	n.gone(first)
	k.wantOffers("cam-00000b: cam-00000b-0", "cam: cam-00000b-0")
}

func TestPathTooLong(t *testing.T) {
	_, err := New(Options{Dir: "/" + strings.Repeat("x", 90)})
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("New with a long path: %v", err)
	}
}

func TestPreferredAllocation(t *testing.T) {
	n := newFixture(t)
	k := startKubelet(t, n.dir)
	n.changed(camera("00000a", 2), camera("00000b", 1))
	n.run()
	k.wantOffers("cam-00000a: cam-00000a-0 cam-00000a-1", "cam-00000b: cam-00000b-0", "cam: cam-00000a-1 cam-00000b-0")
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	got, err := k.client("cam").GetPreferredAllocation(ctx, &pluginapi.PreferredAllocationRequest{
		ContainerRequests: []*pluginapi.ContainerPreferredAllocationRequest{{
			AvailableDeviceIDs: []string{"cam-00000a-0", "cam-00000a-1", "cam-00000b-0"}, AllocationSize: 2,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if ids := strings.Join(got.ContainerResponses[0].DeviceIDs, " "); ids != "cam-00000a-0 cam-00000b-0" {
		t.Errorf("preferred %s", ids)
	}
}

// A crowd waits for room, but never for long: there may be none.
func TestAwaitRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Options{Dir: t.TempDir(), HostPaths: links{}, Logger: slog.New(slog.DiscardHandler),
			Room: func(ctx context.Context) { <-ctx.Done() }})
		if err != nil {
			t.Fatal(err)
		}
		defer p.queue.ShutDown()
		defer p.lists.ShutDown()
		crowd := func() time.Duration {
			for i := range 100 {
				p.queue.Add(fmt.Sprint(i))
			}
			began := time.Now()
			for range 100 {
				name, _ := p.queue.Get()
				p.awaitRoom(t.Context())
				p.queue.Done(name)
			}
			return time.Since(began)
		}
		for range 2 {
			if d := crowd(); d != roomTimeout {
				t.Errorf("a hundred resources waited %v, want %v", d, roomTimeout)
			}
		}
	})
}
