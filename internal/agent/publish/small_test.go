package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/kubeclient"
)

func TestManagers(t *testing.T) {
	if got := FactsManager("node-1"); got != "akri-agent/node-1" {
		t.Error(got)
	}
	if got := SlotsManager("node-1"); got != "akri-slots/node-1" {
		t.Error(got)
	}
	long := strings.Repeat("n", 252)
	seen := map[string]bool{}
	for _, m := range []string{
		FactsManager(long + "a"), FactsManager(long + "b"), SlotsManager(long + "a"),
		FactsManager(strings.Repeat("n", 117)), FactsManager(strings.Repeat("n", 118)),
	} {
		if len(m) > 128 || seen[m] {
			t.Errorf("manager %q (%d bytes)", m, len(m))
		}
		seen[m] = true
	}
}

func TestTrimmer(t *testing.T) {
	o := &v0.Instance{Spec: v0.InstanceSpec{Shared: true}, Status: v0.InstanceStatus{Conditions: []metav1.Condition{{Type: "Online"}}}}
	o.ManagedFields = []metav1.ManagedFieldsEntry{
		ownership("a", true, "K"), ownership("b", true),
		{Manager: FactsManager("a"), Operation: metav1.ManagedFieldsOperationApply, Subresource: "status"},
		{Manager: FactsManager("a"), Operation: metav1.ManagedFieldsOperationUpdate},
		{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply},
	}
	local := o.DeepCopy()
	local.Spec.Shared = false
	trimmer("a")(o)
	if own := ownedBy("a", o); !own.any || !own.capacity || !maps.Equal(own.properties, map[string]bool{"K": true}) ||
		len(o.ManagedFields) != 1 || o.Status.Conditions != nil {
		t.Errorf("trimmed to %+v", o)
	}
	if trimmer("a")(local); local.ManagedFields != nil {
		t.Errorf("a local Instance keeps %v", local.ManagedFields)
	}
	// Nothing that can stand there makes it fail.
	for _, raw := range []string{"", "null", "[]", `{"f:spec":1}`, `{"f:spec":{"f:brokerProperties":{"k":{},".":{}}}}`} {
		m := ownership("a", false)
		m.FieldsV1 = metav1.NewFieldsV1(raw)
		o.ManagedFields = []metav1.ManagedFieldsEntry{m}
		if own := ownedBy("a", o); !own.any || own.capacity || len(own.properties) != 0 {
			t.Errorf("%q is read as %+v", raw, own)
		}
	}
}

func TestUrgentFirst(t *testing.T) {
	urgent := map[string]bool{}
	q := newQueue(func(n types.NamespacedName) bool { return urgent[n.Name] })
	defer q.ShutDown()
	for _, n := range []string{"a", "b", "c", "d"} {
		q.Add(types.NamespacedName{Name: n})
	}
	urgent["c"], urgent["x"] = true, true
	q.Add(types.NamespacedName{Name: "c"}) // in the queue already
	q.Add(types.NamespacedName{Name: "x"})
	var got []string
	for q.Len() > 0 {
		n, _ := q.Get()
		got = append(got, n.Name)
		q.Done(n)
	}
	if want := []string{"c", "x", "a", "b", "d"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"short", "short"}, {"exactly ten", "exactly…"}, {"ééééééé", "ééé…"}, {"\xff\xfe", "?"},
	} {
		if got := clip(c.in, 10); got != c.want || len(got) > 10 {
			t.Errorf("clip(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"10", "9", true}, {"9", "10", false}, {"9", "9", false}, {"x", "9", true}} {
		if newer(c.a, c.b) != c.want {
			t.Errorf("newer(%s, %s) is not %v", c.a, c.b, c.want)
		}
	}
}

// eventLog takes Events.
type eventLog struct {
	lock   sync.Mutex
	gone   bool
	events []kubeclient.Event
}

func (l *eventLog) setGone(gone bool) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.gone = gone
}

func (l *eventLog) Reachable() bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	return !l.gone
}

func (l *eventLog) CreateEvent(_ context.Context, e kubeclient.Event) error {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.events = append(l.events, e)
	return nil
}

// notes returns what was written since the last call.
func (l *eventLog) notes() []string {
	l.lock.Lock()
	defer l.lock.Unlock()
	var notes []string
	for _, e := range l.events {
		notes = append(notes, e.Note)
	}
	slices.Sort(notes)
	l.events = nil
	return notes
}

func TestEventer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		api := &eventLog{}
		e := NewEventer(api, "a", slog.New(slog.DiscardHandler))
		go e.Run(ctx)
		defer synctest.Wait()
		defer cancel()
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		expect := func(want ...string) {
			t.Helper()
			if got := api.notes(); !slices.Equal(got, want) {
				t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		d := deviceFor("a", false, nil)

		e.Found(d)
		expect()
		wait(2 * time.Second)
		expect(`found device "camera" on node a: Instance ` + d.Instance.Name)

		for range 37 {
			e.Found(d)
		}
		e.Lost(d)
		wait(2 * time.Second)
		expect("37 devices found on node a", `device "camera" left node a: it was Instance `+d.Instance.Name)

		// The same warning is not repeated, for a while.
		r := regarding(d)
		for range 5 {
			e.Warn(r, "X", "it is so")
			wait(2 * time.Second)
		}
		expect("node a: it is so")
		wait(eventRepeat)
		e.Warn(r, "X", "it is so")
		wait(2 * time.Second)
		expect("node a: it is so")

		wait(time.Hour)
		// A flood drains the bucket, and no more than a bounded part waits.
		for i := range 1000 {
			e.Warn(r, "X", fmt.Sprint("flood ", i))
		}
		wait(2 * time.Second)
		if n := len(api.notes()); n != eventBurst {
			t.Errorf("a flood made %d events at once", n)
		}
		wait(time.Hour)
		if n := len(api.notes()); n != maxKinds-eventBurst {
			t.Errorf("a flood made %d events later", n)
		}

		// While the API server is away they are counted.
		api.setGone(true)
		for range 3 {
			e.Found(d)
			wait(time.Minute)
		}
		expect()
		api.setGone(false)
		wait(time.Minute)
		expect("3 devices found on node a")

		// Limits of the API hold whatever comes.
		e.Warn(r, "X", strings.Repeat("ü", 5000))
		wait(2 * time.Second)
		if notes := api.notes(); len(notes) != 1 || len(notes[0]) > maxNote {
			t.Errorf("a long note: %d events", len(notes))
		}
		wait(time.Hour)
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.topics) != 0 {
			t.Errorf("%d Configurations are remembered for ever", len(e.topics))
		}
	})
}

var errTest = errors.New("test")

// An Instance that has not the first of its device's names is adopted as well;
// one whose name is none of them is not.
func TestAdoptedNames(t *testing.T) {
	d := deviceFor("a", false, nil)
	for n, want := range map[int]bool{0: true, 1: true, v0.OtherDeviceHashes: true, v0.OtherDeviceHashes + 1: false} {
		d.Instance.Name = v0.InstanceName("cam", v0.NthDeviceHash("camera", "a", false, n))
		o := published("a", d, "a")
		if got, ok := deviceOf("a", d.Instance, o); ok != want || ok && got.Instance != d.Instance {
			t.Errorf("by name %d: %v, %v", n, got.Instance, ok)
		}
	}
}
