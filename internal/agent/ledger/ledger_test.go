package ledger

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/checkpoint/checkpointtest"
	"github.com/akri-go/akri/internal/agent/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is what is on disk.
type memory = checkpointtest.Memory[State]

func saved(t *testing.T, m *memory) []Claim {
	t.Helper()
	state, err := m.Load()
	if err != nil {
		t.Fatal(err)
	}
	return state.Claims
}

// recorder is a Recorder that notes the calls.
type recorder struct {
	mu    sync.Mutex
	calls []string
	claim func(ctx context.Context, instance types.NamespacedName) error
}

func (n *recorder) add(call string, instance types.NamespacedName, claims map[string]v0.Usage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	parts := []string{call, instance.String()}
	for _, id := range slices.Sorted(maps.Keys(claims)) {
		parts = append(parts, strings.TrimPrefix(id, instance.Name)+"="+claims[id].String())
	}
	n.calls = append(n.calls, strings.Join(parts, " "))
}

func (n *recorder) Claim(ctx context.Context, instance types.NamespacedName, claims map[string]v0.Usage) error {
	n.add("claim", instance, claims)
	if n.claim != nil {
		return n.claim(ctx, instance)
	}
	return nil
}

func (n *recorder) Record(instance types.NamespacedName, claims map[string]v0.Usage) {
	n.add("record", instance, claims)
}

// want checks the calls since the last check.
func (n *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if diff := cmp.Diff(want, n.calls); diff != "" {
		t.Errorf("calls of the recorder (-want +got):\n%s", diff)
	}
	n.calls = nil
}

func open(store checkpoint.Store[State], recorder Recorder) *Ledger {
	return New(Options{Node: "a", Store: store, Recorder: recorder, Logger: slog.New(slog.DiscardHandler)})
}

func newDevice(namespace, name string, shared bool, capacity int) inventory.Device {
	return inventory.Device{
		Instance:      types.NamespacedName{Namespace: namespace, Name: name},
		Configuration: configurationOf(name), Shared: shared, Capacity: capacity, Usable: true,
	}
}

// holders shows slots by who holds them.
func holders(slots []Slot) (s []string) {
	for _, slot := range slots {
		s = append(s, strings.TrimPrefix(slot.ID, cam.Name)+"="+slot.Usage.String())
	}
	return s
}

func wantSlots(t *testing.T, l *Ledger, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, holders(l.Slots(cam))); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}

func TestLocalDevice(t *testing.T) {
	store, rec := &memory{}, &recorder{}
	l := open(store, rec)
	l.DeviceChanged(newDevice("ns", cam.Name, false, 2))
	rec.want(t)
	ctx := t.Context()

	if err := l.Claim(ctx, inst, []string{"cam-0000a1-0"}); err != nil {
		t.Fatal(err)
	}
	rec.want(t, "record ns/cam-0000a1 -0=a")
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-0"}); err != nil {
		t.Errorf("claim of what is held: %v", err)
	}
	rec.want(t)
	// All or nothing.
	if err := l.Claim(ctx, conf, []string{"cam-0000a1-1", "cam-0000a1-0"}); !errors.Is(err, ErrTaken) {
		t.Errorf("claim through the other door: %v, want ErrTaken", err)
	}
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-1", "cam-0000a1-1"}); err == nil {
		t.Error("a slot was granted twice in one claim")
	}
	wantSlots(t, l, "-0=a", "-1=")
	if err := l.Claim(ctx, conf, []string{"cam-0000a1-1"}); err != nil {
		t.Fatal(err)
	}
	rec.want(t, "record ns/cam-0000a1 -0=a -1=C:cam-0000a1-1:a")
	wantSlots(t, l, "-0=a", "-1=C:cam-0000a1-1:a")

	// A restart, and a smaller capacity: held slots stay.
	l = open(store, rec)
	if l.Slots(cam) != nil {
		t.Error("slots of a device that is not there")
	}
	l.DeviceChanged(newDevice("ns", cam.Name, false, 1))
	rec.want(t, "record ns/cam-0000a1 -0=a -1=C:cam-0000a1-1:a")
	wantSlots(t, l, "-0=a", "-1=C:cam-0000a1-1:a")

	// The device goes and its claims stay; then the containers end.
	l.DeviceGone(newDevice("ns", cam.Name, false, 1))
	now := time.Unix(0, 0)
	used := View{Complete: true, Uses: []Use{{"akri.sh/cam-0000a1", "cam-0000a1-0"}, {"akri.sh/cam", "cam-0000a1-1"}}}
	for range 5 {
		now = now.Add(time.Minute)
		l.Reconcile(now, used)
	}
	if got := len(l.Claims()); got != 2 {
		t.Fatalf("%d claims are left of 2 in use", got)
	}
	rec.want(t)
	used.Uses = used.Uses[:1]
	if next := l.Reconcile(now, used); next != IdleGrace {
		t.Errorf("next = %v, want %v", next, IdleGrace)
	}
	if next := l.Reconcile(now.Add(IdleGrace), used); next != 0 {
		t.Errorf("next = %v, want none", next)
	}
	rec.want(t, "record ns/cam-0000a1 -0=a")
	l.DeviceChanged(newDevice("ns", cam.Name, false, 1))
	wantSlots(t, l, "-0=a")
}

func TestSharedDevice(t *testing.T) {
	store, rec := &memory{}, &recorder{}
	l := open(store, rec)
	l.DeviceChanged(newDevice("ns", cam.Name, true, 3))
	l.DeviceChanged(newDevice("ns", "dog-0000a1", true, 1))
	ctx := t.Context()
	l.Observed(cam, map[string]v0.Usage{"cam-0000a1-0": {Node: "b", Door: inst}})
	wantSlots(t, l, "-0=b", "-1=", "-2=")

	if err := l.Claim(ctx, inst, []string{"cam-0000a1-0"}); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "node b") {
		t.Errorf("claim of another node's slot: %v, want ErrTaken that names it", err)
	}
	rec.want(t)
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-1"}); err != nil {
		t.Fatal(err)
	}
	rec.want(t, "claim ns/cam-0000a1 -1=a")

	// Without an API server: nothing new, but what is held.
	down := errors.New("connection refused")
	rec.claim = func(context.Context, types.NamespacedName) error { return down }
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-2"}); !errors.Is(err, down) {
		t.Errorf("claim without API: %v, want %v", err, down)
	}
	rec.want(t, "claim ns/cam-0000a1 -1=a -2=a", "record ns/cam-0000a1 -1=a")
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-1"}); err != nil {
		t.Errorf("claim of what is held, without API: %v", err)
	}
	rec.want(t, "claim ns/cam-0000a1 -1=a")
	wantSlots(t, l, "-0=b", "-1=a", "-2=")
	// But not if the Instance says otherwise.
	l.Observed(cam, map[string]v0.Usage{"cam-0000a1-0": {Node: "b", Door: inst}})
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-1"}); !errors.Is(err, down) {
		t.Errorf("claim of what was held and lost, without API: %v, want %v", err, down)
	}

	// Two devices, the second of which is lost to another node.
	rec.calls = nil
	rec.claim = func(_ context.Context, name types.NamespacedName) error {
		if name == cam {
			return nil
		}
		return ErrTaken
	}
	if err := l.Claim(ctx, conf, []string{"dog-0000a1-0", "cam-0000a1-2"}); !errors.Is(err, ErrTaken) {
		t.Errorf("lost claim: %v, want ErrTaken", err)
	}
	rec.want(t,
		"claim ns/cam-0000a1 -1=a -2=C:cam-0000a1-2:a", "claim ns/dog-0000a1 -0=C:dog-0000a1-0:a",
		"record ns/cam-0000a1 -1=a", "record ns/dog-0000a1")
	wantSlots(t, l, "-0=b", "-1=a", "-2=")

	// What the failed claim may have left is not taken over, but removed.
	l.Observed(cam, map[string]v0.Usage{"cam-0000a1-1": {Node: "a", Door: inst}, "cam-0000a1-2": {Node: "a", Door: conf, VirtualDevice: "cam-0000a1-2"}})
	rec.want(t, "record ns/cam-0000a1 -1=a")
	wantSlots(t, l, "-0=", "-1=a", "-2=")

	// The disk is full: taken back in the API.
	rec.claim = nil
	full := errors.New("no space left on device")
	store.Fail(full)
	if err := l.Claim(ctx, inst, []string{"cam-0000a1-0"}); !errors.Is(err, full) || !strings.Contains(err.Error(), "disk") {
		t.Errorf("claim on a full disk: %v", err)
	}
	rec.want(t, "claim ns/cam-0000a1 -0=a -1=a", "record ns/cam-0000a1 -1=a")
	if diff := cmp.Diff([]Claim{{Instance: cam, Slot: 1, Door: inst}}, saved(t, store)); diff != "" {
		t.Error(diff)
	}
}

// A claim in the API that hangs holds up neither local claims nor readers, and
// is given up; what there is to record meanwhile comes after it.
func TestHangingClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		l := open(&memory{}, rec)
		l.DeviceChanged(newDevice("ns", cam.Name, true, 3))
		l.DeviceChanged(newDevice("ns", "dog-0000a1", false, 1))
		ctx := t.Context()
		if err := l.Claim(ctx, inst, []string{"cam-0000a1-0"}); err != nil {
			t.Fatal(err)
		}
		l.Reconcile(time.Now(), View{Complete: true})
		rec.claim = func(ctx context.Context, _ types.NamespacedName) error {
			<-ctx.Done()
			return ctx.Err()
		}
		done := make(chan error)
		go func() { done <- l.Claim(ctx, inst, []string{"cam-0000a1-1"}) }()
		go func() { done <- l.Claim(ctx, inst, []string{"cam-0000a1-2"}) }()
		synctest.Wait()
		if err := l.Claim(ctx, conf, []string{"dog-0000a1-0"}); err != nil {
			t.Errorf("local claim meanwhile: %v", err)
		}
		if err := l.Claim(ctx, inst, []string{"cam-0000a1-1"}); !errors.Is(err, ErrTaken) {
			t.Errorf("claim of the same slot meanwhile: %v, want ErrTaken", err)
		}
		wantSlots(t, l, "-0=a", "-1=a", "-2=a")
		rec.calls = nil
		l.Reconcile(time.Now().Add(IdleGrace), View{Complete: true, Uses: []Use{{"akri.sh/dog", "dog-0000a1-0"}}})
		rec.want(t)
		for range 2 {
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("hanging claim: %v, want a timeout", err)
			}
		}
		wantSlots(t, l, "-0=", "-1=", "-2=")
		if last := rec.calls[len(rec.calls)-1]; last != "record ns/cam-0000a1" {
			t.Errorf("last call of the recorder is %q, want all slots freed", last)
		}
	})
}

func TestTakeOverFromTheInstance(t *testing.T) {
	store, rec := &memory{}, &recorder{}
	l := open(store, rec)
	l.DeviceChanged(newDevice("ns", cam.Name, false, 2))
	l.Observed(cam, map[string]v0.Usage{
		"cam-0000a1-0": {Node: "a", Door: conf, VirtualDevice: "cam-4"},
		"cam-0000a1-1": {Node: "a", Door: inst},
	})
	wantSlots(t, l, "-0=C:cam-4:a", "-1=a")
	rec.want(t)
	// Upstream's container ends, ours goes on.
	now := time.Unix(0, 0)
	view := View{Complete: true, Uses: []Use{{"akri.sh/cam-0000a1", "cam-0000a1-1"}}}
	l.Reconcile(now, view)
	if want := 2; len(saved(t, store)) != want {
		t.Errorf("%d claims are saved, want %d", len(saved(t, store)), want)
	}
	if slots := l.Slots(cam); !slots[0].Idle || slots[1].Idle {
		t.Errorf("idle slots: %+v, want the first", slots)
	}
	l.Reconcile(now.Add(IdleGrace), view)
	rec.want(t, "record ns/cam-0000a1 -1=a")
	wantSlots(t, l, "-0=", "-1=a")
}

// A slot that is about to be freed and claimed again starts a new grace.
func TestClaimedAgainWhileIdle(t *testing.T) {
	l := open(&memory{}, &recorder{})
	l.DeviceChanged(newDevice("ns", cam.Name, false, 1))
	var changes int
	l.Subscribe(func(types.NamespacedName) { changes++ })
	claim := func() {
		t.Helper()
		if err := l.Claim(t.Context(), inst, []string{"cam-0000a1-0"}); err != nil {
			t.Fatal(err)
		}
	}
	claim()
	now := time.Unix(0, 0)
	l.Reconcile(now, View{Complete: true})
	changes = 0
	claim()
	if changes != 1 {
		t.Errorf("%d changes were told, want 1", changes)
	}
	l.Reconcile(now.Add(IdleGrace), View{Complete: true})
	wantSlots(t, l, "-0=a")
	l.Reconcile(now.Add(2*IdleGrace), View{Complete: true})
	wantSlots(t, l, "-0=")
}

func TestReconcileOnAFullDisk(t *testing.T) {
	store, rec := &memory{}, &recorder{}
	l := open(store, rec)
	l.DeviceChanged(newDevice("ns", cam.Name, false, 2))
	if err := l.Claim(t.Context(), inst, []string{"cam-0000a1-0"}); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	view := View{Complete: true, Uses: []Use{{"akri.sh/cam-0000a1", "cam-0000a1-1"}}}
	l.Reconcile(now, View{Complete: true})
	store.Fail(errors.New("no space left on device"))
	l.Reconcile(now.Add(IdleGrace), view)
	wantSlots(t, l, "-0=a", "-1=a") // nothing freed, what is used is held
	store.Fail(nil)
	l.Reconcile(now.Add(IdleGrace), view)
	wantSlots(t, l, "-0=", "-1=a")
	if diff := cmp.Diff([]Claim{{Instance: cam, Slot: 1, Door: inst}}, saved(t, store)); diff != "" {
		t.Error(diff)
	}
}

func TestSameNameInTwoNamespaces(t *testing.T) {
	l := open(&memory{}, &recorder{})
	first, second := newDevice("ns", cam.Name, false, 1), newDevice("other", cam.Name, false, 2)
	l.DeviceChanged(first)
	l.DeviceChanged(second)
	wantSlots(t, l, "-0=")
	if slots := l.Slots(second.Instance); slots != nil {
		t.Errorf("the second has slots: %v", slots)
	}
	if err := l.Claim(t.Context(), inst, []string{"cam-0000a1-0"}); err != nil {
		t.Fatal(err)
	}
	var changed []types.NamespacedName
	l.Subscribe(func(name types.NamespacedName) { changed = append(changed, name) })
	l.DeviceGone(first)
	if diff := cmp.Diff([]types.NamespacedName{first.Instance, second.Instance}, changed); diff != "" {
		t.Errorf("changes told (-want +got):\n%s", diff)
	}
	if got := len(l.Slots(second.Instance)); got != 2 {
		t.Errorf("the second has %d slots now, want 2", got)
	}
	if claims := l.Claims(); len(claims) != 1 || claims[0].Instance != second.Instance {
		t.Errorf("claims are %v, want the one, with the second", claims)
	}
}

// The real store, with a file that is damaged.
func TestCheckpointFile(t *testing.T) {
	file := checkpoint.File[State]{Path: filepath.Join(t.TempDir(), "claims.json"), Version: StateVersion}
	l := open(file, &recorder{})
	l.DeviceChanged(newDevice("ns", cam.Name, false, 1))
	if err := l.Claim(t.Context(), conf, []string{"cam-0000a1-0"}); err != nil {
		t.Fatal(err)
	}
	want := l.Claims()
	if diff := cmp.Diff(want, open(file, &recorder{}).Claims()); diff != "" {
		t.Errorf("claims after a restart (-want +got):\n%s", diff)
	}
	if err := file.Save(State{Claims: append(want, Claim{Slot: -1})}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, open(file, &recorder{}).Claims()); diff != "" {
		t.Errorf("claims without the senseless one (-want +got):\n%s", diff)
	}
}

// Until the Instance of a shared device was seen, nobody knows who has its
// slots; then what another node got meanwhile is not offered.
func TestWithheld(t *testing.T) {
	tests := map[string]struct {
		shared bool
		up     []bool // what is told of the API server
		usage  map[string]v0.Usage
		gone   bool
		want   string // per slot: offered or withheld
	}{
		"not seen":          {shared: true, want: "wwww"},
		"not seen, up":      {shared: true, up: []bool{true}, want: "wwww"},
		"cut off":           {shared: true, up: []bool{false}, want: "ooww"},
		"cut off, and back": {shared: true, up: []bool{false, true}, want: "wwww"},
		"seen":              {shared: true, usage: map[string]v0.Usage{}, want: "oooo"},
		"given away":        {shared: true, usage: map[string]v0.Usage{"cam-0000a1-1": {Node: "b", Door: inst}, "cam-0000a1-2": {Node: "b", Door: inst}}, want: "owoo"},
		"gone again":        {shared: true, usage: map[string]v0.Usage{}, gone: true, want: "wwww"},
		"local":             {want: "oooo"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			disk := checkpointtest.Holding(State{Claims: []Claim{{Instance: cam, Slot: 0, Door: inst}, {Instance: cam, Slot: 1, Door: inst}}})
			l := open(disk, &recorder{})
			l.DeviceChanged(newDevice("ns", "cam-0000a1", test.shared, 4))
			for _, up := range test.up {
				l.ArbiterReachable(up)
			}
			if test.usage != nil {
				l.Observed(cam, test.usage)
			}
			if test.gone {
				l.Observed(cam, nil)
			}
			got := ""
			for _, s := range l.Slots(cam) {
				got += map[bool]string{true: "w", false: "o"}[s.Withheld]
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// A disk that stays full is one fact, not one each look at the kubelet.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	store := &memory{}
	l := New(Options{Node: "n", Store: store, Recorder: &recorder{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	store.Fail(syscall.ENOSPC)
	l.changes++ // than the checkpoint has
	for range 10 {
		l.Reconcile(time.Now(), View{})
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, log.String())
	}
	store.Fail(nil)
	l.Reconcile(time.Now(), View{})
	if !strings.Contains(log.String(), "this works again") {
		t.Errorf("it is not said that it is over:\n%s", log.String())
	}
}
