package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/checkpoint/checkpointtest"
	"github.com/akri-go/akri/internal/agent/registry"
)

// recorder notes what an inventory hands on.
type recorder struct {
	mu       sync.Mutex
	log      []string
	statuses []v0.ConfigurationNode
}

func (r *recorder) DeviceChanged(d Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf("+%s %s usable=%v", d.Reported.ID, d.State, d.Usable))
}

func (r *recorder) DeviceGone(d Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, "-"+d.Reported.ID)
}

func (r *recorder) ConfigurationStatus(_ types.NamespacedName, _ types.UID, entry v0.ConfigurationNode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses = append(r.statuses, entry)
}

// take returns what was noted since the last call.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.log, ", ")
	r.log = nil
	return s
}

func (r *recorder) status() v0.ConfigurationNode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.statuses[len(r.statuses)-1]
}

// memory is what is on disk.
type memory = checkpointtest.Memory[State]

var cfg = types.NamespacedName{Namespace: "ns", Name: "c"}

func start(t *testing.T, store checkpoint.Store[State], boot string) (*Inventory, *recorder, *UpTime) {
	t.Helper()
	r, up := &recorder{}, &UpTime{}
	up.Set(true)
	v := New(Options{Node: "n", Vet: vet, Consumers: []Consumer{r}, Statuses: r, UpTime: up,
		Store: store, BootID: boot, Logger: slog.New(slog.DiscardHandler)})
	v.Restore()
	return v, r, up
}

// vet refuses devices with a property BAD, as later rules may.
func vet(devices []discovery.Device) (good []discovery.Device, refused error) {
	for _, d := range devices {
		if _, bad := d.Properties["BAD"]; bad {
			refused = errors.Join(refused, fmt.Errorf("device %q: BAD", d.ID))
			continue
		}
		good = append(good, d)
	}
	return good, refused
}

func ask(v *Inventory, request string) {
	v.SetConfiguration(Configuration{Name: cfg, Owner: "uid", Handler: "h", RequestID: request, Capacity: 1})
}

func report(v *Inventory, request, endpoint string, ids ...string) {
	v.Reported(registry.Report{Configuration: cfg, RequestID: request, Endpoint: endpoint, Devices: devices(ids...)})
}

func want(t *testing.T, r *recorder, what string) {
	t.Helper()
	if got := r.take(); got != what {
		t.Errorf("handed on %q, want %q", got, what)
	}
}

func TestReportsBecomeDevices(t *testing.T) {
	v, r, _ := start(t, nil, "")
	ask(v, "q")
	want(t, r, "")
	report(v, "q", "e", "x", "y")
	want(t, r, "+x Online usable=true, +y Online usable=true")
	report(v, "q", "e", "y", "x")
	want(t, r, "")
	report(v, "q", "e", "y")
	want(t, r, "-x")
	report(v, "another request", "e")
	want(t, r, "")
	v.DropConfiguration(cfg)
	want(t, r, "-y")
	report(v, "q", "e", "z")
	want(t, r, "")
}

func TestRestartLosesNothing(t *testing.T) {
	store := &memory{}
	v, _, _ := start(t, store, "boot")
	ask(v, "q")
	report(v, "q", "e", "x", "y")
	v.save()

	v, r, _ := start(t, store, "boot")
	want(t, r, "+x Online usable=true, +y Online usable=true")
	v.Retain(map[types.NamespacedName]bool{cfg: true})
	ask(v, "q")
	v.Failed(registry.Failure{Configuration: cfg, RequestID: "q", Err: errors.New("no handler")})
	want(t, r, "")
	report(v, "q", "e", "x")
	want(t, r, "-y")
}

// killer is a consumer that is told of a device that is gone, and starts the
// inventory anew from what is on disk at that moment.
type killer struct {
	t      *testing.T
	store  *memory
	kept   string
	killed bool
}

func (k *killer) DeviceChanged(Device) {}
func (k *killer) DeviceGone(Device) {
	k.killed = true
	_, r, _ := start(k.t, k.store.Copy(), "boot")
	k.kept = r.take()
}

func TestKilledWhileADeviceLeaves(t *testing.T) {
	for name, leave := range map[string]struct {
		do   func(*Inventory)
		kept string
	}{
		"no longer reported":  {func(v *Inventory) { report(v, "q", "e", "y") }, "+y Online usable=true"},
		"no longer asked for": {func(v *Inventory) { v.DropConfiguration(cfg) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			store := &memory{}
			v, _, _ := start(t, store, "boot")
			ask(v, "q")
			report(v, "q", "e", "x", "y")
			v.save()
			k := &killer{t: t, store: store}
			v.opts.Consumers = append(v.opts.Consumers, k)
			leave.do(v)
			if !k.killed || k.kept != leave.kept {
				t.Errorf("killed %v; after it there is %q, want %q", k.killed, k.kept, leave.kept)
			}
		})
	}
}

func TestALaterStateIsNotOverwritten(t *testing.T) {
	store := &memory{}
	v, _, _ := start(t, store, "boot")
	ask(v, "q")
	report(v, "q", "e", "x")
	v.mu.Lock()
	older, number, ok := v.unsaved()
	v.mu.Unlock()
	report(v, "q", "e") // x is gone, and that is on disk
	if !ok || !v.store(older, number) {
		t.Fatal("there was nothing to save")
	}
	_, r, _ := start(t, store, "boot")
	want(t, r, "")
}

func TestRestartAfterReboot(t *testing.T) {
	store := &memory{}
	v, _, _ := start(t, store, "boot 1")
	ask(v, "q")
	report(v, "q", "e", "x")
	v.save()

	v, r, _ := start(t, store, "boot 2")
	want(t, r, "+x Online usable=false")
	v.save()
	v, r, _ = start(t, store, "boot 2")
	want(t, r, "+x Online usable=false")
	ask(v, "q")
	report(v, "q", "e", "x")
	want(t, r, "+x Online usable=true")
}

func TestRestartWithoutItsConfiguration(t *testing.T) {
	store := &memory{}
	v, _, _ := start(t, store, "")
	ask(v, "q")
	report(v, "q", "e", "x")
	v.save()

	v, r, _ := start(t, store, "")
	want(t, r, "+x Online usable=true")
	v.Retain(nil)
	want(t, r, "-x")
}

// A handler comes back at another address, before and after a restart of the
// agent.
func TestHandlerThatMoves(t *testing.T) {
	store := &memory{}
	v, r, _ := start(t, store, "boot")
	move := func(endpoint string, registration int, ids ...string) {
		v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: endpoint, Registration: registration, Alone: true, Devices: devices(ids...)})
	}
	ask(v, "q")
	move("here", 1, "x", "y")
	r.take()
	v.Lost(registry.Loss{Configuration: cfg, RequestID: "q", Endpoint: "here", Alone: true, Registration: 1})
	want(t, r, "")
	move("there", 2, "y")
	want(t, r, "-x")
	v.save()
	v, r, _ = start(t, store, "boot")
	ask(v, "q")
	r.take()
	move("elsewhere", 1, "z")
	want(t, r, "-y, +z Online usable=true")
}

// A list for which there is no room is refused, and hurts nothing that is there;
// lists that nobody stands by give way.
func TestBudget(t *testing.T) {
	v, r, _ := start(t, nil, "")
	v.opts.BudgetBytes = 40 * contract.Size(devices("00")[0]) // ten devices for one handler
	ask(v, "q")
	list := func(n int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprintf("%02d", i))
		}
		return ids
	}
	try := func(endpoint string, n int) error {
		return v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: endpoint, Devices: devices(list(n)...)})
	}
	if err := try("e", 10); err != nil {
		t.Fatal(err)
	}
	r.take()
	if err := try("e", 11); err == nil || !strings.Contains(err.Error(), "agent.handlersMemory") {
		t.Errorf("too much: %v", err)
	}
	want(t, r, "")
	if err := try("other", 6); err == nil {
		t.Error("another endpoint got more than half of what is left")
	}
	v.Lost(registry.Loss{Configuration: cfg, RequestID: "q", Endpoint: "e"})
	if err := try("other", 10); err != nil {
		t.Errorf("what was lost does not give way: %v", err)
	}
}

func TestEditedRequestKeepsDevicesUntilAnswered(t *testing.T) {
	v, r, _ := start(t, nil, "")
	ask(v, "q")
	report(v, "q", "e", "x", "y")
	r.take()
	ask(v, "q2")
	v.Lost(registry.Loss{Configuration: cfg, RequestID: "q", Endpoint: "e"})
	report(v, "q", "e")
	want(t, r, "")
	report(v, "q2", "e", "y", "z")
	want(t, r, "-x, +z Online usable=true")
}

func TestRefusedRequestEndsTheOldAnswers(t *testing.T) {
	v, r, _ := start(t, nil, "")
	ask(v, "q")
	report(v, "q", "e", "x")
	r.take()
	ask(v, "q2")
	v.Failed(registry.Failure{Configuration: cfg, RequestID: "q2", Endpoint: "e", Final: true, Err: errors.New("bad rule")})
	want(t, r, "-x")
	if s := r.status(); s.State != v0.DiscoveryFailed || !strings.Contains(s.Message, "bad rule") {
		t.Errorf("status %+v, want Failed with the reason", s)
	}
}

func TestHandlerGoneForFiveReachableMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, r, up := start(t, nil, "")
		up.Set(true)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx) }()
		ask(v, "q")
		report(v, "q", "e", "x")
		r.take()
		v.Lost(registry.Loss{Configuration: cfg, RequestID: "q", Endpoint: "e"})
		time.Sleep(4 * time.Minute)
		up.Set(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		want(t, r, "")
		up.Set(true)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		want(t, r, "")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want(t, r, "-x")
		stop()
		<-done
	})
}

func TestAdoptedDevicesWaitForAReport(t *testing.T) {
	v, r, _ := start(t, nil, "")
	ask(v, "q")
	v.Adopt([]Device{{
		Instance:      types.NamespacedName{Namespace: "ns", Name: v0.InstanceName("c", v0.DeviceHash("x", "n", false))},
		Configuration: "c", Reported: devices("x")[0],
	}})
	want(t, r, "+x Online usable=false")
	report(v, "q", "e", "x")
	want(t, r, "+x Online usable=true")

	v, r, _ = start(t, nil, "")
	ask(v, "q")
	report(v, "q", "e")
	v.Adopt([]Device{{Instance: types.NamespacedName{Namespace: "ns", Name: "c-000000"}, Configuration: "c", Reported: devices("x")[0]}})
	want(t, r, "-x")
}

// A disk that stays full is one fact, not one each second.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	disk := &memory{}
	disk.Fail(syscall.ENOSPC)
	v := New(Options{Node: "n", Store: disk, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 10 {
		if v.store(State{}, i) {
			t.Fatal("saved on a full disk")
		}
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, log.String())
	}
}

type counted struct {
	memory
	saves atomic.Int64
}

func (c *counted) Save(s State) error { c.saves.Add(1); return c.memory.Save(s) }

// A reading that changes all the time does not wear out the node's disk.
func TestSavesOfAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &counted{}
		v, _, _ := start(t, disk, "")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx) }()
		ask(v, "q")
		for i := range 36_000 {
			d := devices("x")
			d[0].Properties = map[string]string{"LEVEL": fmt.Sprint(i)}
			if err := v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "e", Devices: d}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // fake
		}
		if n := disk.saves.Load(); n < 100 || n > 130 {
			t.Errorf("%d writes in an hour", n)
		}
		time.Sleep(2 * maxSaveInterval) // fake
		disk.saves.Store(0)
		report(v, "q", "e", "x", "y")
		time.Sleep(2 * saveInterval) // fake
		if n := disk.saves.Load(); n != 1 {
			t.Errorf("after some quiet a new device is written %d times", n)
		}
		cancel()
		<-done
	})
}
