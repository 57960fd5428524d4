package events

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
)

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

func camera() inventory.Device {
	return inventory.Device{
		Instance: types.NamespacedName{Namespace: "default", Name: "cam-00000a"}, Configuration: "cam", Owner: "owner",
		Reported: discovery.Device{ID: "camera"},
	}
}

func TestWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		api := &eventLog{}
		w := New(api, "a", slog.New(slog.DiscardHandler))
		go w.Run(ctx)
		defer synctest.Wait()
		defer cancel()
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		expect := func(want ...string) {
			t.Helper()
			if got := api.notes(); !slices.Equal(got, want) {
				t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		d := camera()

		w.Found(d)
		expect()
		wait(2 * time.Second)
		expect(`found device "camera" on node a: Instance ` + d.Instance.Name)

		for range 37 {
			w.Found(d)
		}
		w.Lost(d)
		wait(2 * time.Second)
		expect("37 devices found on node a", `device "camera" left node a: it was Instance `+d.Instance.Name)

		// The same warning is not repeated, for a while.
		r := Of(d)
		for range 5 {
			w.Warn(r, "X", "it is so")
			wait(2 * time.Second)
		}
		expect("node a: it is so")
		wait(repeatInterval)
		w.Warn(r, "X", "it is so")
		wait(2 * time.Second)
		expect("node a: it is so")

		wait(time.Hour)
		// A flood drains the bucket, and no more than a bounded part waits.
		for i := range 1000 {
			w.Warn(r, "X", fmt.Sprint("flood ", i))
		}
		wait(2 * time.Second)
		if n := len(api.notes()); n != bucketSize {
			t.Errorf("a flood made %d events at once", n)
		}
		wait(time.Hour)
		if n := len(api.notes()); n != maxKinds-bucketSize {
			t.Errorf("a flood made %d events later", n)
		}

		// While the API server is away they are counted.
		api.setGone(true)
		for range 3 {
			w.Found(d)
			wait(time.Minute)
		}
		expect()
		api.setGone(false)
		wait(time.Minute)
		expect("3 devices found on node a")

		// Limits of the API hold whatever comes.
		w.Warn(r, "X", strings.Repeat("ü", 5000))
		wait(2 * time.Second)
		if notes := api.notes(); len(notes) != 1 || len(notes[0]) > maxNoteBytes {
			t.Errorf("a long note: %d events", len(notes))
		}
		wait(time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.topics) != 0 {
			t.Errorf("%d Configurations are remembered for ever", len(w.topics))
		}
	})
}

func TestNodeEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		api := &eventLog{}
		w := New(api, "node-a.example.com", slog.New(slog.DiscardHandler))
		go w.Run(ctx)
		for range 3 {
			w.Warn(Regarding{Node: true}, "R", "it is so")
		}
		w.Warn(Regarding{}, "R", "about nothing")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		api.lock.Lock()
		defer api.lock.Unlock()
		if len(api.events) != 1 {
			t.Fatalf("%d events", len(api.events))
		}
		got := api.events[0]
		if r := got.Regarding; r.Kind != "Node" || r.APIVersion != "v1" || r.Name != "node-a.example.com" || r.UID != r.Name || r.Namespace != "" ||
			got.Metadata.Namespace != "default" || got.Note != "node node-a.example.com: it is so" || got.Type != "Warning" {
			t.Errorf("got %+v", got)
		}
	})
}
