package podresources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/types"
	podresourcesapi "k8s.io/kubelet/pkg/apis/podresources/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pod(name string, devices ...string) *podresourcesapi.PodResources {
	p := &podresourcesapi.PodResources{Namespace: "ns", Name: name}
	for _, d := range devices {
		resource, ids, _ := strings.Cut(d, "=")
		p.Containers = append(p.Containers, &podresourcesapi.ContainerResources{
			Devices: []*podresourcesapi.ContainerDevices{{ResourceName: resource, DeviceIds: strings.Split(ids, ",")}},
		})
	}
	return p
}

func use(resource, id string) ledger.Use { return ledger.Use{Resource: resource, ID: id} }

func TestPlanList(t *testing.T) {
	self := types.NamespacedName{Namespace: "ns", Name: "agent"}
	tests := map[string]struct {
		pods  []*podresourcesapi.PodResources
		self  types.NamespacedName
		age   time.Duration
		want  []ledger.Use
		blind bool
	}{
		"all": {
			pods: []*podresourcesapi.PodResources{
				pod("agent"),
				pod("b", "akri.sh/cam=cam-0000a1-0,cam-0000a2-0", "example.com/gpu=0"),
				pod("c", "akri.sh/cam-0000a1=cam-0000a1-1"),
			},
			self: self,
			want: []ledger.Use{use("akri.sh/cam", "cam-0000a1-0"), use("akri.sh/cam", "cam-0000a2-0"), use("akri.sh/cam-0000a1", "cam-0000a1-1")},
		},
		"only static Pods yet": {
			pods: []*podresourcesapi.PodResources{pod("etcd"), pod("b", "akri.sh/cam=cam-0000a1-0")},
			self: self, age: time.Hour,
			want:  []ledger.Use{use("akri.sh/cam", "cam-0000a1-0")},
			blind: true,
		},
		"namesake in another namespace": {
			pods: []*podresourcesapi.PodResources{pod("agent")},
			self: types.NamespacedName{Namespace: "other", Name: "agent"}, blind: true,
		},
		"empty":                             {self: self, age: time.Hour, blind: true},
		"no Pod of its own, some":           {pods: []*podresourcesapi.PodResources{pod("b")}},
		"no Pod of its own, none":           {blind: true, age: time.Minute},
		"no Pod of its own, none for long":  {age: time.Hour},
		"clock was set back: not yet old":   {blind: true, age: -time.Hour},
		"prefix alone is not a resource of": {pods: []*podresourcesapi.PodResources{pod("b", "akri.sh.example.com/x=1")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, problem := planList(test.pods, test.self, test.age)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("uses (-want +got):\n%s", diff)
			}
			if (problem != "") != test.blind {
				t.Errorf("problem = %q, some wanted: %v", problem, test.blind)
			}
		})
	}
}

func TestWrittenOnly(t *testing.T) {
	entries := []podUse{
		{"listed", use("akri.sh/cam", "0")}, {"active", use("akri.sh/cam", "1")}, {"ended", use("akri.sh/cam", "2")},
		{"unknown", use("akri.sh/cam", "3")}, {"active", use("akri.sh/cam", "1")},
	}
	active := func(uid types.UID) (active, known bool) { return uid == "active", uid != "unknown" }
	got, doubtful := writtenOnly(entries, []ledger.Use{use("akri.sh/cam", "0")}, active)
	want := []ledger.Use{use("akri.sh/cam", "1"), use("akri.sh/cam", "3")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], doubtful); diff != "" {
		t.Errorf("doubtful ones (-want +got):\n%s", diff)
	}
}

const written = `{"Data":{"PodDeviceEntries":[
	{"PodUID":"u1","ContainerName":"init","ResourceName":"akri.sh/cam","DeviceIDs":{"-1":["cam-0000a1-0"],"0":["cam-0000a2-0"]},"AllocResp":"CgA="},
	{"PodUID":"u2","ContainerName":"main","ResourceName":"example.com/gpu","DeviceIDs":{"-1":["0"]},"AllocResp":"CgA="},
	{"PodUID":"u3","ContainerName":"main","ResourceName":"akri.sh/cam","DeviceIDs":["cam-0000a3-0"],"AllocResp":null}
],"RegisteredDevices":{"akri.sh/cam":["cam-0000a1-0"]}},"Checksum":1234}`

func TestParseCheckpoint(t *testing.T) {
	records, err := parseCheckpoint([]byte(written))
	if err != nil {
		t.Fatal(err)
	}
	got := podUses(records)
	want := []podUse{
		{"u1", use("akri.sh/cam", "cam-0000a1-0")}, {"u1", use("akri.sh/cam", "cam-0000a2-0")}, {"u3", use("akri.sh/cam", "cam-0000a3-0")},
	}
	less := cmpopts.SortSlices(func(a, b podUse) bool { return a.use.ID < b.use.ID })
	if diff := cmp.Diff(want, got, less, cmp.AllowUnexported(podUse{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "{}", "[]", `{"Data":1}`, `{"Data":{"PodDeviceEntries":[{"ResourceName":"akri.sh/x","DeviceIDs":7}]}}`} {
		if _, err := parseCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%q was read without an error", bad)
		}
	}
	if got, err := parseCheckpoint([]byte(`{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}`)); err != nil || len(got) > 0 {
		t.Errorf("an empty one: %v, %v", got, err)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(written))
	f.Fuzz(func(t *testing.T, raw []byte) {
		records, err := parseCheckpoint(raw)
		entries := podUses(records)
		if err != nil && len(entries) > 0 {
			t.Error("entries with an error")
		}
		for _, e := range entries {
			if !ours(e.use.Resource) {
				t.Errorf("entry of another's resource %q", e.use.Resource)
			}
		}
	})
}

// fakeKubelet is NOT a kubelet: it answers List with what the test says.
type fakeKubelet struct {
	podresourcesapi.UnimplementedPodResourcesListerServer
	mu   sync.Mutex
	pods []*podresourcesapi.PodResources
	err  error
}

func (k *fakeKubelet) List(context.Context, *podresourcesapi.ListPodResourcesRequest) (*podresourcesapi.ListPodResourcesResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &podresourcesapi.ListPodResourcesResponse{PodResources: k.pods}, k.err
}

func (k *fakeKubelet) serve(t *testing.T, socket string) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	podresourcesapi.RegisterPodResourcesListerServer(server, k)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
}

// fakeLedger is a Ledger that notes views.
type fakeLedger struct {
	claims []ledger.Claim
	views  chan ledger.View
	next   time.Duration
}

func (b *fakeLedger) Claims() []ledger.Claim { return b.claims }

func (b *fakeLedger) Reconcile(_ time.Time, view ledger.View) time.Duration {
	b.views <- view
	return b.next
}

func socketDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "kubelet") // short: t.TempDir may be too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestWatcher(t *testing.T) {
	dir := socketDir(t)
	kubelet := &fakeKubelet{pods: []*podresourcesapi.PodResources{pod("agent"), pod("b", "akri.sh/cam=cam-0000a1-0")}}
	kubelet.serve(t, filepath.Join(dir, "s"))
	books := &fakeLedger{views: make(chan ledger.View), next: time.Millisecond}
	var log bytes.Buffer
	w, err := New(Options{
		Socket: filepath.Join(dir, "s"), Checkpoint: filepath.Join(dir, "checkpoint"),
		Self: types.NamespacedName{Namespace: "ns", Name: "agent"}, Ledger: books, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()

	want := ledger.View{Complete: true, Uses: []ledger.Use{use("akri.sh/cam", "cam-0000a1-0")}}
	if diff := cmp.Diff(want, <-books.views); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
	// It looks again when a slot can be freed, and when it is kicked.
	<-books.views
	kubelet.mu.Lock()
	kubelet.pods = nil
	kubelet.mu.Unlock()
	w.Kick()
	for view := range books.views {
		if !view.Complete {
			break // the kubelet has "restarted"
		}
	}
	cancel()
	for err := error(nil); ; {
		select {
		case <-books.views:
			continue
		case err = <-done:
		}
		if err != nil {
			t.Error(err)
		}
		break
	}
	for _, text := range []string{`level=DEBUG msg="reclaiming unused slots - start"`, "does not list the agent's own Pod"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, log.String())
		}
	}
	if n := strings.Count(log.String(), "own Pod"); n != 1 {
		t.Errorf("a problem that lasts was logged %d times", n)
	}
}

// What only the kubelet's file has.
func TestInitContainers(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "checkpoint")
	claim := ledger.Claim{Instance: types.NamespacedName{Namespace: "ns", Name: "cam-0000a1"}, Slot: 0, Door: v0.DoorConfiguration}
	init := use("akri.sh/cam", "cam-0000a1-0")
	list := &podresourcesapi.ListPodResourcesResponse{PodResources: []*podresourcesapi.PodResources{pod("agent")}}
	self := types.NamespacedName{Namespace: "ns", Name: "agent"}

	tests := map[string]struct {
		content string
		claims  []ledger.Claim
		old     bool
		known   bool // it was so last time
		active  func(context.Context) (map[types.UID]types.NamespacedName, error)

		complete, uses, nudged bool
	}{
		"no file":                   {claims: []ledger.Claim{claim}, complete: true},
		"nothing claimed: not read": {content: "broken", complete: true},
		"broken":                    {content: "broken", claims: []ledger.Claim{claim}},
		"nobody knows":              {content: written, claims: []ledger.Claim{claim}, complete: true, uses: true, nudged: true},
		"nobody knows, still":       {content: written, claims: []ledger.Claim{claim}, known: true, complete: true, uses: true},
		"nobody knows, still, old":  {content: written, claims: []ledger.Claim{claim}, known: true, old: true, complete: true, uses: true, nudged: true},
		"active": {
			content: written, claims: []ledger.Claim{claim}, old: true,
			active: func(context.Context) (map[types.UID]types.NamespacedName, error) {
				return map[types.UID]types.NamespacedName{"u1": {}}, nil
			},
			complete: true, uses: true,
		},
		"ended": {
			content: written, claims: []ledger.Claim{claim}, old: true,
			active:   func(context.Context) (map[types.UID]types.NamespacedName, error) { return nil, nil },
			complete: true,
		},
		"no API": {
			content: written, claims: []ledger.Claim{claim}, old: true,
			active: func(context.Context) (map[types.UID]types.NamespacedName, error) {
				return nil, errors.New("no API server")
			},
			complete: true, uses: true, nudged: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			os.Remove(path)
			if test.content != "" {
				if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
				if test.old {
					then := time.Now().Add(-time.Hour)
					if err := os.Chtimes(path, then, then); err != nil {
						t.Fatal(err)
					}
				}
			}
			nudged := false
			w := &Watcher{Options: Options{
				Checkpoint: path, Self: self, Ledger: &fakeLedger{claims: test.claims}, Logger: slog.New(slog.DiscardHandler),
				ActivePods: test.active, Nudge: func() { nudged = true },
			}}
			if test.known {
				records, err := parseCheckpoint([]byte(test.content))
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range podUses(records) {
					w.doubtful = append(w.doubtful, e.use)
				}
			}
			view, problem := w.view(t.Context(), list)
			if view.Complete != test.complete || (problem == "") != test.complete {
				t.Errorf("complete = %v, problem %q; want %v", view.Complete, problem, test.complete)
			}
			if got := slices.Contains(view.Uses, init); got != test.uses {
				t.Errorf("init container's use = %v, want %v: %v", got, test.uses, view.Uses)
			}
			if nudged != test.nudged {
				t.Errorf("nudged = %v, want %v", nudged, test.nudged)
			}
		})
	}
}

func TestKubeletFails(t *testing.T) {
	dir := socketDir(t)
	kubelet := &fakeKubelet{err: errors.New("not ready")}
	kubelet.serve(t, filepath.Join(dir, "s"))
	var log bytes.Buffer
	w, err := New(Options{Socket: filepath.Join(dir, "s"), Ledger: &fakeLedger{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for range 2 {
		if wait := w.look(t.Context()); wait != LookInterval {
			t.Errorf("next look in %v, want %v", wait, LookInterval)
		}
	}
	if n := strings.Count(log.String(), "not ready"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, fmt.Sprint(&log))
	}
}
