package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/testlog"
)

// trial is an outbox over a real store, with a cloud that answers as the test
// wants.
type trial struct {
	*Outbox
	t     *testing.T
	path  string
	store *store.Store
	log   testlog.Buffer

	mu     sync.Mutex
	asked  []string // paths, in order
	answer func(path string) (status int, err error)
	kept   []string
}

func fresh(t *testing.T) *trial {
	t.Helper()
	leaktest.Check(t)
	tr := &trial{t: t, path: filepath.Join(t.TempDir(), "edgecore.db")}
	tr.open()
	t.Cleanup(func() { tr.store.Close() })
	return tr
}

// open opens the store, and an outbox over it.
func (tr *trial) open() {
	tr.t.Helper()
	log := slog.New(slog.NewTextHandler(&tr.log, nil))
	s, err := store.Open(tr.t.Context(), store.Options{Path: tr.path, Log: log})
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.store = s
	tr.Outbox = New(Options{
		Store: s, Do: tr.do, Log: log, Retry: backoff.Backoff{First: time.Millisecond, Max: 5 * time.Millisecond},
		Kept: func(r store.Resource) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.kept = append(tr.kept, r.Name)
		},
	})
}

func (tr *trial) do(ctx context.Context, c edgev1.Call) (edgev1.Reply, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if ctx.Err() != nil {
		return edgev1.Reply{}, ctx.Err()
	}
	tr.asked = append(tr.asked, c.Path)
	if tr.answer == nil {
		return edgev1.Reply{Status: 200}, nil
	}
	status, err := tr.answer(c.Path)
	return edgev1.Reply{Status: status, Body: []byte(`{"kind":"Status","message":"because"}`)}, err
}

func (tr *trial) paths() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.asked)
}

func (tr *trial) post(kind, name, uid string) {
	tr.t.Helper()
	resource := "pods"
	if kind == Event {
		resource = "events"
	}
	err := tr.Post(tr.t.Context(), store.Entry{
		Key: store.Key{Resource: store.Resource{Version: "v1", Name: resource}, Namespace: "n", Name: name}, Kind: kind,
		Durable: kind != Event, Deletes: uid, Call: edgev1.Call{Method: "X", Path: "/" + kind + "/" + name, Body: []byte(uid)},
	})
	if err != nil {
		tr.t.Fatal(err)
	}
}

// replay runs a session until end is called.
func (tr *trial) replay() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	tr.Replay(ctx)
	return func() {
		cancel()
		tr.Outbox.mu.Lock()
		ended := tr.ended
		tr.Outbox.mu.Unlock()
		<-ended
	}
}

func (tr *trial) settled(want string) {
	tr.t.Helper()
	eventually.Succeeds(tr.t, eventually.Patience, func(context.Context) error {
		s := tr.State()
		if got := fmt.Sprintf("%d made, %d refused, %d wait", s.Made, s.Refused, s.Events+s.Others); got != want {
			return fmt.Errorf("%s, want %s; asked %v", got, want, tr.paths())
		}
		return nil
	})
}

// What waits comes through a restart, and is made in its order, Events last.
func TestReplay(t *testing.T) {
	tr := fresh(t)
	tr.post(Event, "e1", "")
	tr.post(Event, "e2", "")
	tr.post(Delete, "a", "1")
	tr.post("apply", "a", "")
	tr.post(Event, "e1", "")
	tr.post(Delete, "b", "2")
	if s := tr.State(); s.Events != 2 || s.Others != 3 || s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
	if err := tr.store.Close(); err != nil {
		t.Fatal(err)
	}
	tr.open()
	defer tr.replay()()
	tr.settled("5 made, 0 refused, 0 wait")
	got := tr.paths()
	at := func(path string) int { return slices.Index(got, path) }
	if len(got) != 5 || at("/delete/a") > at("/apply/a") || at("/event/e2") < 3 || at("/event/e1") < 3 {
		t.Errorf("they were made as %v", got)
	}
	if s := tr.State(); !s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
	// What comes in the same session is made too.
	tr.post(Delete, "c", "3")
	tr.settled("6 made, 0 refused, 0 wait")
}

// A key that fails keeps no other waiting, and is made in the end.
func TestOneKeyFails(t *testing.T) {
	tr := fresh(t)
	for i := range 12 {
		tr.post(Delete, fmt.Sprint("p", i), fmt.Sprint(i))
	}
	tr.post(Event, "e", "")
	tries := 0
	tr.answer = func(path string) (int, error) {
		if path != "/delete/p0" {
			return 200, nil
		}
		tries++
		switch {
		case tries == 20:
			return 200, nil
		case tries%4 == 0:
			return 0, errors.New("no answer")
		}
		return []int{429, 500, 503}[tries%3], nil
	}
	defer tr.replay()()
	tr.settled("13 made, 0 refused, 0 wait")
	got := tr.paths()
	if last := len(got) - 1; got[last] != "/delete/p0" || len(got) != 20+11+1 {
		t.Errorf("%v", got)
	}
}

// A server that is away is asked for one key at a time, not for all, and when it is
// back everything is made.
func TestAway(t *testing.T) {
	tr := fresh(t)
	const keys, failures = 200, 40
	for i := range keys {
		tr.post(Event, fmt.Sprint("e", i), "")
	}
	asked := 0
	tr.answer = func(string) (int, error) {
		asked++
		if asked <= failures {
			return 503, nil
		}
		return 200, nil
	}
	defer tr.replay()()
	tr.settled(fmt.Sprint(keys, " made, 0 refused, 0 wait"))
	if asked != keys+failures {
		t.Errorf("asked %d times", asked)
	}
	// The first ones may be tried again before it is known that the server is away.
	got := tr.paths()
	if distinct := len(slices.Compact(slices.Sorted(slices.Values(got[:failures])))); distinct < failures-parallel {
		t.Errorf("of %d keys only %d were tried in turn", failures, distinct)
	}
}

// What the cluster refuses is dropped and said, and the object asked for again.
func TestRefused(t *testing.T) {
	tr := fresh(t)
	tr.post(Delete, "a", "1")
	tr.post(Event, "e", "")
	tr.answer = func(string) (int, error) { return 422, nil }
	defer tr.replay()()
	tr.settled("0 made, 2 refused, 0 wait")
	if text := tr.log.String(); !strings.Contains(text, "message=because") || !strings.Contains(text, "name=a") {
		t.Errorf("it is not said: %s", text)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !slices.Equal(tr.kept, []string{"pods"}) {
		t.Errorf("asked again: %v", tr.kept)
	}
}

// A link that is cut ends a pass, and the next session goes on.
func TestCut(t *testing.T) {
	tr := fresh(t)
	tr.post(Delete, "a", "1")
	tr.answer = func(string) (int, error) { return 0, errors.New("cut") }
	tr.replay()()
	if s := tr.State(); s.Others != 1 || s.Made != 0 {
		t.Errorf("%+v", s)
	}
	tr.mu.Lock()
	tr.answer = nil
	tr.mu.Unlock()
	defer tr.replay()()
	tr.settled("1 made, 0 refused, 0 wait")
}

// There is only so much room; Events make room for each other.
func TestBounded(t *testing.T) {
	tr := fresh(t)
	for i := range maxEvents + 5 {
		tr.post(Event, fmt.Sprint("e", i), "")
	}
	if s := tr.State(); s.Events != maxEvents || s.Dropped != 5 {
		t.Errorf("%+v", s)
	}
	if first := tr.store.Entries()[0]; first.Name != "e5" {
		t.Errorf("the first is %s", first.Name)
	}
}
