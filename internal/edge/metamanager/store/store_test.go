package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/testlog"
)

// trial is a store and what its tests need.
type trial struct {
	*Store
	t    *testing.T
	path string
	log  *testlog.Buffer
	now  time.Time
}

func open(t *testing.T, path string, now time.Time) *trial {
	t.Helper()
	tr := &trial{t: t, path: path, log: &testlog.Buffer{}, now: now}
	s, err := Open(t.Context(), Options{Path: path, Log: slog.New(slog.NewTextHandler(tr.log, nil)), Now: func() time.Time { return tr.now }})
	if err != nil {
		t.Fatal(err)
	}
	tr.Store = s
	return tr
}

var start = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// fresh opens a new store, which is closed at the end.
func fresh(t *testing.T) *trial {
	t.Helper()
	leaktest.Check(t)
	tr := open(t, filepath.Join(t.TempDir(), "lib", "edgecore.db"), start)
	t.Cleanup(func() { tr.Close() })
	return tr
}

// reopen closes the store and opens it again a second later.
func (tr *trial) reopen() *trial {
	tr.t.Helper()
	if err := tr.Close(); err != nil {
		tr.t.Fatal(err)
	}
	again := open(tr.t, tr.path, tr.now.Add(time.Second))
	tr.t.Cleanup(func() { again.Close() })
	return again
}

var (
	pods   = edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=edge-1"}
	active = edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=edge-1,status.phase!=Succeeded"}
)

func pod(name, uid, version, phase string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"n","uid":%q,"resourceVersion":%q},"spec":{"nodeName":"edge-1"},"status":{"phase":%q}}`, name, uid, version, phase)
}

func key(name string) Key { return Key{ResourceOf(pods), "n", name} }

func (tr *trial) follow(what edgev1.Interest) {
	tr.t.Helper()
	if err := tr.Add(what); err != nil {
		tr.t.Fatal(err)
	}
	tr.Complete(what, "1")
}

func (tr *trial) put(what edgev1.Interest, name, uid, version, phase string) {
	tr.t.Helper()
	if err := tr.Put(what, version, pod(name, uid, version, phase)); err != nil {
		tr.t.Fatal(err)
	}
}

// drops checks that an object is not taken, since it was deleted here.
func (tr *trial) drops(what edgev1.Interest, name, uid, version, phase string) {
	tr.t.Helper()
	if err := tr.Put(what, version, pod(name, uid, version, phase)); !errors.Is(err, ErrBuried) {
		tr.t.Fatalf("%s of version %s: %v", name, version, err)
	}
}

func (tr *trial) rv(what edgev1.Interest) uint64 {
	tr.t.Helper()
	_, rv, err := tr.List(what)
	if err != nil {
		tr.t.Fatal(err)
	}
	return rv
}

// names are those of a list, with their phases.
func (tr *trial) names(what edgev1.Interest) string {
	tr.t.Helper()
	list, _, err := tr.List(what)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, o := range list {
		all = append(all, o.Name+":"+phase(o))
	}
	return strings.Join(all, " ")
}

func phase(o *Object) string {
	_, s, _ := strings.Cut(string(o.JSON), `"phase":"`)
	s, _, _ = strings.Cut(s, `"`)
	return s
}

// since returns what a watch sees from an RV to now.
func (tr *trial) since(what edgev1.Interest, rv uint64) string {
	tr.t.Helper()
	w, err := tr.Watch(what, rv)
	if err != nil {
		return err.Error()
	}
	defer w.Close()
	done, cancel := context.WithCancel(tr.t.Context())
	cancel() // what there is, it returns all the same
	var all []string
	for {
		changes, _, err := w.Next(done)
		if err != nil {
			return err.Error()
		}
		if len(changes) == 0 {
			return strings.Join(all, " ")
		}
		for _, c := range changes {
			all = append(all, fmt.Sprintf("%s:%s/%s:%s", c.Type, c.Object.Name, c.Object.UID, phase(c.Object)))
		}
	}
}

func (tr *trial) expect(what, got, want string) {
	tr.t.Helper()
	if got != want {
		tr.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestFollow(t *testing.T) {
	tr := fresh(t)
	tr.expect("before anything", tr.names(pods), ErrNotSynced.Error())
	if err := tr.Add(pods); err != nil {
		t.Fatal(err)
	}
	tr.put(pods, "b", "u1", "11", "Pending")
	tr.put(pods, "a", "u2", "12", "Running")
	tr.expect("before it is synced", tr.names(pods), ErrNotSynced.Error())
	tr.Complete(pods, "12")
	tr.expect("synced", tr.names(pods), "a:Running b:Pending")
	rv := tr.rv(pods)
	if rv < uint64(start.UnixMilli()) {
		t.Errorf("RVs begin at %d", rv)
	}
	tr.put(pods, "b", "u1", "13", "Running")
	tr.put(pods, "b", "u1", "13", "Running") // the same again is no event
	tr.put(pods, "c", "u3", "14", "Pending")
	tr.Gone(pods, edgev1.Item{Namespace: "n", Name: "a", UID: "other"})
	tr.Gone(pods, edgev1.Item{Namespace: "n", Name: "a", UID: "u2"})
	tr.put(pods, "c", "u4", "15", "Running")
	tr.expect("events", tr.since(pods, rv), "MODIFIED:b/u1:Running ADDED:c/u3:Pending DELETED:a/u2:Running DELETED:c/u3:Pending ADDED:c/u4:Running")
	want := []edgev1.Item{{Namespace: "n", Name: "b", UID: "u1", Version: "13"}, {Namespace: "n", Name: "c", UID: "u4", Version: "15"}}
	got := tr.Items(pods)
	if d := cmp.Diff(edgev1.Digest(want), edgev1.Digest(got)); d != "" {
		t.Errorf("items %v, want %v", got, want)
	}
	o := tr.Get(key("b"))
	if h, err := ReadHead(o.JSON); err != nil || h.Metadata.ResourceVersion != fmt.Sprint(o.RV) || o.Version != "13" {
		t.Errorf("%+v, %v", o, err)
	}
	tr.Drop(pods)
	tr.expect("dropped", tr.names(pods), ErrNotSynced.Error())
	if n := tr.Stats(); n.Objects != 0 || n.Bytes != 0 {
		t.Errorf("what nobody holds is kept: %+v", n)
	}
}

// Two interests in one object see it come and go each for itself.
func TestHolders(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.follow(active)
	rv := tr.rv(pods)
	tr.put(pods, "a", "u", "5", "Running")
	tr.put(active, "a", "u", "5", "Running")
	tr.put(active, "a", "u", "6", "Running")
	tr.put(pods, "a", "u", "6", "Running")
	tr.Gone(active, edgev1.Item{Namespace: "n", Name: "a", UID: "u"})
	tr.expect("all", tr.since(pods, rv), "ADDED:a/u:Running MODIFIED:a/u:Running")
	tr.expect("active", tr.since(active, rv), "ADDED:a/u:Running MODIFIED:a/u:Running DELETED:a/u:Running")
	tr.expect("all", tr.names(pods), "a:Running")
	tr.expect("active", tr.names(active), "")
	// Whoever read the object before others let go of it has its content still.
	if o := tr.Get(key("a")); o.Since >= o.RV {
		t.Errorf("since %d, RV %d", o.Since, o.RV)
	}
}

// What came by another way and is newer stays, within one session.
func TestVersionsGoForward(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u", "10", "Running")
	if _, err := tr.Written(ResourceOf(pods), pod("a", "u", "12", "Failed")); err != nil {
		t.Fatal(err)
	}
	tr.put(pods, "a", "u", "11", "Running")
	tr.expect("a late message", tr.names(pods), "a:Failed")
	tr.Buried(key("a"), "u")
	tr.drops(pods, "a", "u", "13", "Failed")
	tr.expect("deleted by a call", tr.names(pods), "")
	tr.put(pods, "a", "u2", "14", "Running")
	tr.Session()
	tr.put(pods, "a", "u2", "3", "Pending")
	tr.expect("restored from a backup", tr.names(pods), "a:Pending")
	tr.Buried(key("a"), "u2")
	tr.Session()
	tr.drops(pods, "a", "u2", "3", "Running")
	tr.expect("deleted a moment before the session", tr.names(pods), "")
	tr.now = tr.now.Add(BurialTime)
	tr.put(pods, "a", "u2", "3", "Running")
	tr.expect("deleted long ago, and there again", tr.names(pods), "a:Running")
	tr.Buried(key("a"), "u2")
	tr.WentBack()
	tr.put(pods, "a", "u2", "2", "Pending")
	tr.expect("there again, since the cloud is of some time ago", tr.names(pods), "a:Pending")
}

// What a call has written is seen by all whose selectors select it.
func TestWritten(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.follow(active)
	rv := tr.rv(pods)
	for _, phase := range []string{"Running", "Succeeded"} {
		o, err := tr.Written(ResourceOf(pods), pod("a", "u", map[string]string{"Running": "5", "Succeeded": "6"}[phase], phase))
		if err != nil || o == nil || o.Version == "" {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	tr.expect("all", tr.since(pods, rv), "ADDED:a/u:Running MODIFIED:a/u:Succeeded")
	tr.expect("active", tr.since(active, rv), "ADDED:a/u:Running DELETED:a/u:Running")
	other := []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"n","uid":"x"},"spec":{"nodeName":"other"}}`)
	if o, err := tr.Written(ResourceOf(pods), other); o != nil || err != nil {
		t.Errorf("what nobody follows is kept: %v, %v", o, err)
	}
}

func TestOverlay(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.follow(active)
	tr.put(pods, "a", "u", "5", "Running")
	tr.put(active, "a", "u", "5", "Running")
	rv := tr.rv(pods)
	set := func(phase string) {
		t.Helper()
		o, err := tr.Overlay(key("a"), func(*Object) ([]byte, error) { return pod("a", "u", "0", phase), nil })
		if err != nil || !o.Overlaid() || o.Version != "5" {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	set("Failed")
	set("Succeeded")
	tr.expect("cut", tr.names(pods), "a:Succeeded")
	tr.expect("cut", tr.names(active), "")
	tr = tr.reopen()
	tr.expect("cut, after a restart", tr.names(pods), "a:Succeeded")
	tr.Complete(pods, "9")
	tr.expect("joined", tr.names(pods), "a:Running")
	tr.expect("joined", tr.names(active), "a:Running")
	tr.expect("all", tr.since(pods, rv), "MODIFIED:a/u:Failed MODIFIED:a/u:Succeeded MODIFIED:a/u:Running")
	tr.expect("active", tr.since(active, rv), "MODIFIED:a/u:Failed DELETED:a/u:Failed ADDED:a/u:Running")
	if o, err := tr.Overlay(key("none"), nil); o != nil || err != nil {
		t.Errorf("%v, %v", o, err)
	}
}

// What is seen in another way has a new version, and the same content.
func TestTouch(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "1", "2", "Running")
	tr.put(pods, "b", "2", "3", "Running")
	before := tr.Get(key("a"))
	w, err := tr.Watch(pods, tr.RV())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	changed := tr.Changed(before.Resource)
	tr.Touch(before.Resource, func(o *Object) bool { return o.Name == "a" })
	select {
	case <-changed:
	default:
		t.Error("nobody is told")
	}
	changes, _, err := w.Next(t.Context())
	if err != nil || len(changes) != 1 || changes[0].Type != Modified || changes[0].Object.Name != "a" {
		t.Fatalf("%+v, %v", changes, err)
	}
	after := tr.Get(key("a"))
	if after.Version != before.Version || after.Since <= before.Since || string(WithRV(after.JSON, "")) != string(WithRV(before.JSON, "")) {
		t.Errorf("%+v, before %+v", after, before)
	}
	if items := tr.Items(pods); len(items) != 2 {
		t.Errorf("%+v", items)
	}
	changed = tr.Changed(before.Resource)
	tr.follow(active)
	select {
	case <-changed:
	default:
		t.Error("nobody is told that an interest is synced")
	}
}

func TestLimits(t *testing.T) {
	leaktest.Check(t)
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "db"), Log: slog.New(slog.DiscardHandler), MaxBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Add(pods); err != nil {
		t.Fatal(err)
	}
	var refused int
	for i := range 10 {
		if err := s.Put(pods, "1", pod(fmt.Sprint(i), "u", "1", "Running")); errors.Is(err, ErrFull) {
			refused++
		}
	}
	if n := s.Stats(); refused < 5 || n.Bytes > 3000 {
		t.Errorf("%d refused, %+v", refused, n)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"kind":"Pod"}`, `{"apiVersion":"v1","kind":"Pod","metadata":{}}`, `{"metadata":`} {
		if err := s.Put(pods, "1", []byte(bad)); err == nil {
			t.Errorf("%q is an object", bad)
		}
	}
	// The interest that was used longest ago makes room, unless it is watched.
	s.Complete(pods, "1")
	w, err := s.Watch(pods, s.RV())
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxInterests + 10 {
		if err := s.Add(edgev1.Interest{Version: "v1", Resource: "pods", Namespace: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Interests; n != maxInterests || !s.Synced(pods) {
		t.Errorf("%d interests, pods %v", n, s.Synced(pods))
	}
	w.Close()
	if err := s.Add(edgev1.Interest{Version: "v1", Resource: "pods", LabelSelector: "a in"}); err == nil {
		t.Error("a bad selector is taken")
	}
}

func TestDropUnused(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.follow(active)
	w, err := tr.Watch(active, tr.RV())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tr.now = tr.now.Add(8 * 24 * time.Hour)
	if got := tr.DropUnused(func(edgev1.Interest) bool { return true }); len(got) != 0 {
		t.Errorf("kept ones are dropped: %v", got)
	}
	got := tr.DropUnused(func(edgev1.Interest) bool { return false })
	if len(got) != 1 || got[0] != pods {
		t.Errorf("dropped %v", got)
	}
}

// Readers, writers and watches at once; every watch sees the same in the end.
func TestConcurrent(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	const writers, rounds = 4, 100
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	rv := tr.RV()
	for range 3 {
		wg.Go(func() {
			seen := map[string]string{}
			w, err := tr.Watch(pods, rv)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for len(seen) < writers || strings.Count(fmt.Sprint(seen), fmt.Sprint(rounds)) < writers {
				changes, _, err := w.Next(ctx)
				if err != nil || ctx.Err() != nil {
					t.Errorf("%v, %v after %v", err, ctx.Err(), seen)
					return
				}
				for _, c := range changes {
					seen[c.Object.Name] = c.Object.Version
				}
			}
		})
	}
	for n := range writers {
		wg.Go(func() {
			for i := 1; i <= rounds; i++ {
				if err := tr.Put(pods, fmt.Sprint(i), pod(fmt.Sprint("p", n), "u", fmt.Sprint(i), "Running")); err != nil {
					t.Error(err)
				}
				if _, _, err := tr.List(pods); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
