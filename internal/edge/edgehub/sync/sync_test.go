package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	gosync "sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

// end is a cloud's end that says what the test says.
type end struct {
	t      *testing.T
	sync   *Sync
	store  *store.Store
	cancel context.CancelFunc

	mu   gosync.Mutex
	sent []edgev1.Message
}

func newEnd(t *testing.T) *end {
	t.Helper()
	leaktest.Check(t)
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &end{t: t, store: s, sync: New(Options{Store: s, Log: log, Node: "edge-1"})}
}

func (e *end) join() {
	ctx, cancel := context.WithCancel(context.Background())
	e.mu.Lock()
	e.sent = nil
	e.mu.Unlock()
	e.cancel = cancel
	e.sync.Connected(ctx, edgev1.Hello{}, func(ctx context.Context, m edgev1.Message) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.sent = append(e.sent, m)
		return nil
	})
}

// joinWithPod begins a session in which the Pod a has come in version 7, and returns
// the number of the interest.
func (e *end) joinWithPod() (id uint64) {
	e.t.Helper()
	e.join()
	done := e.want(pods)
	id = e.interest("pods").ID
	e.sync.Receive(&edgev1.Put{ID: id, Version: "7", Object: pod("a", "7")})
	e.sync.Receive(&edgev1.Synced{ID: id})
	if err := <-done; err != nil {
		e.t.Fatal(err)
	}
	return id
}

func (e *end) cut() {
	e.cancel()
	e.sync.Disconnected(errors.New("cut"))
}

// wait returns a message of a kind that the edge has sent, once it has.
func wait[M edgev1.Message](e *end, is func(M) bool) M {
	e.t.Helper()
	var found M
	eventually.Succeeds(e.t, eventually.Patience, func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, m := range e.sent {
			if got, ok := m.(M); ok && is(got) {
				found = got
				return nil
			}
		}
		return fmt.Errorf("%T was not sent", found)
	})
	return found
}

func (e *end) interest(resource string) *edgev1.Interest {
	e.t.Helper()
	return wait(e, func(i *edgev1.Interest) bool { return i.Resource == resource })
}

// order are the kinds of the messages of an interest.
func (e *end) order(id uint64) (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.sent {
		switch m := m.(type) {
		case *edgev1.Interest:
			if m.ID == id {
				all = append(all, "interest")
			}
		case *edgev1.Have:
			if m.ID == id {
				all = append(all, fmt.Sprintf("have %d %d", len(m.Digest), len(m.Items)))
			}
		case *edgev1.Forget:
			if m.ID == id {
				all = append(all, "forget")
			}
		}
	}
	return all
}

var pods = edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=edge-1"}

func pod(name, version string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"n","uid":%q,"resourceVersion":%q},"spec":{"nodeName":"edge-1"}}`, name, name, version)
}

func (e *end) want(what edgev1.Interest) <-chan error {
	done := make(chan error, 1)
	go func() { done <- e.sync.Want(e.t.Context(), what) }()
	return done
}

func TestSession(t *testing.T) {
	e := newEnd(t)
	if err := e.sync.Want(t.Context(), pods); !errors.Is(err, ErrCut) {
		t.Errorf("without a session: %v", err)
	}
	e.join()
	if !e.interest("csinodes").Get || e.interest("nodes").FieldSelector != "metadata.name=edge-1" {
		t.Error("what every node has is not asked for as it should be")
	}
	done := e.want(pods)
	id := e.interest("pods").ID
	wait(e, func(h *edgev1.Have) bool { return h.ID == id && h.Digest == nil })
	e.sync.Receive(&edgev1.Put{ID: id, Version: "5", Object: pod("a", "5")})
	e.sync.Receive(&edgev1.Put{ID: id, Version: "6", Object: pod("b", "6")})
	select {
	case err := <-done:
		t.Fatalf("it is synced too early: %v", err)
	default:
	}
	e.sync.Receive(&edgev1.Synced{ID: id, Version: "6"})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := <-e.want(pods); err != nil {
		t.Error(err) // at once: it is open
	}
	if s := e.sync.State(); !s.Connected || s.Interests != 3 || s.Syncing != 2 {
		t.Errorf("%+v", s)
	}
	e.cut()

	// The next session says what there is, and its items only if asked.
	e.join()
	id = e.interest("pods").ID
	digest := edgev1.Digest(e.store.Items(pods))
	wait(e, func(h *edgev1.Have) bool { return h.ID == id && slices.Equal(h.Digest, digest) && h.Items == nil })
	e.sync.Receive(&edgev1.Differ{ID: id})
	wait(e, func(h *edgev1.Have) bool { return h.ID == id && len(h.Items) == 2 })
	e.sync.Receive(&edgev1.Gone{ID: id, Item: edgev1.Item{Namespace: "n", Name: "a", UID: "a"}})
	e.sync.Receive(&edgev1.Gone{ID: id + 100, Item: edgev1.Item{Namespace: "n", Name: "b", UID: "b"}}) // of no interest
	e.sync.Receive(&edgev1.Synced{ID: id, Version: "7"})
	if items := e.store.Items(pods); len(items) != 1 || items[0].Name != "b" {
		t.Errorf("%v", items)
	}
	if got := e.order(id); !slices.Equal(got, []string{"interest", "have 32 0", "have 32 2"}) {
		t.Errorf("%v", got)
	}
	e.cut()
	e.sync.Receive(&edgev1.Gone{ID: id, Item: edgev1.Item{Namespace: "n", Name: "b", UID: "b"}}) // too late
	if items := e.store.Items(pods); len(items) != 1 {
		t.Errorf("%v", items)
	}
}

func TestRefused(t *testing.T) {
	e := newEnd(t)
	e.join()
	defer func() { e.cut() }()
	done := e.want(pods)
	id := e.interest("pods").ID
	e.sync.Receive(&edgev1.Refused{ID: id, Code: 403, Reason: "Forbidden", Message: "no"})
	if err := <-done; !apierrors.IsForbidden(err) || err.Error() != "no" {
		t.Errorf("%v", err)
	}
	// Who asks at once hears the same, and cloudcore nothing.
	for range 3 {
		if err := <-e.want(pods); !apierrors.IsForbidden(err) {
			t.Errorf("%v", err)
		}
	}
	if e.store.Follows(pods) {
		t.Error("what was refused takes a place in the store")
	}
	// When that is over the next client asks again.
	e.sync.session.mu.Lock()
	e.sync.session.denied.all[pods] = refused{times: 1}
	e.sync.session.mu.Unlock()
	done = e.want(pods)
	again := wait(e, func(i *edgev1.Interest) bool { return i.Resource == "pods" && i.ID != id }).ID
	e.sync.Receive(&edgev1.Put{ID: again, Version: "5", Object: pod("a", "5")})
	e.sync.Receive(&edgev1.Synced{ID: again, Version: "6"})
	if err := <-done; err != nil || !e.store.Synced(pods) {
		t.Fatal(err)
	}
	// Busy: what there is stays. No longer granted: it goes.
	e.sync.Receive(&edgev1.Refused{ID: again, Code: 429})
	if !e.store.Synced(pods) {
		t.Error("what is there is gone because cloudcore was busy")
	}
	e.cut()
	e.join()
	e.sync.Receive(&edgev1.Refused{ID: e.interest("pods").ID, Code: 403})
	if e.store.Synced(pods) || e.store.Stats().Objects != 0 {
		t.Error("what is no longer granted is still there")
	}
	// A node's own interests are not given up.
	e.sync.Receive(&edgev1.Synced{ID: e.interest("nodes").ID})
	e.sync.Receive(&edgev1.Refused{ID: e.interest("nodes").ID, Code: 403})
	if !e.store.Synced(e.sync.own()[0]) {
		t.Error("the Node is gone")
	}
}

// A Pod that asks for always new things takes no more places of a session than its
// share: cloudcore hears of what goes for them.
func TestEvicted(t *testing.T) {
	e := newEnd(t)
	e.join()
	defer func() { e.cut() }()
	e.interest("nodes")
	const asked = 250
	for i := range asked {
		what := edgev1.Interest{Version: "v1", Resource: fmt.Sprint("things", i), As: edgev1.As{ServiceAccount: "n/sa"}}
		done := e.want(what)
		e.sync.Receive(&edgev1.Synced{ID: e.interest(what.Resource).ID, Version: "1"})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	have := len(e.store.Interests())
	if open := e.sync.State().Interests; open > have || have >= asked {
		t.Errorf("%d interests are open, the store has %d", open, have)
	}
	first := e.interest("things0").ID
	wait(e, func(f *edgev1.Forget) bool { return f.ID == first })
	if !slices.ContainsFunc(e.store.Interests(), func(i store.Interest) bool { return i.Resource == "nodes" }) {
		t.Error("the Node itself is given up")
	}
}

func TestCalls(t *testing.T) {
	e := newEnd(t)
	if _, err := e.sync.Do(t.Context(), edgev1.Call{}); !errors.Is(err, ErrCut) {
		t.Errorf("without a session: %v", err)
	}
	e.join()
	type result struct {
		edgev1.Reply
		error
	}
	do := func(ctx context.Context, path string) <-chan result {
		done := make(chan result, 1)
		go func() {
			r, err := e.sync.Do(ctx, edgev1.Call{Path: path})
			done <- result{r, err}
		}()
		return done
	}
	call := func(path string) uint64 {
		return wait(e, func(c *edgev1.Call) bool { return c.Path == path }).ID
	}
	a, b := do(t.Context(), "/a"), do(t.Context(), "/b")
	ida, idb := call("/a"), call("/b")
	e.sync.Receive(&edgev1.Reply{ID: idb, Status: 201})
	e.sync.Receive(&edgev1.Reply{ID: ida, Status: 200})
	e.sync.Receive(&edgev1.Reply{ID: ida, Status: 500}) // again: nobody waits
	if r := <-a; r.Status != 200 || r.error != nil {
		t.Errorf("%+v", r)
	}
	if r := <-b; r.Status != 201 || r.error != nil {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := do(ctx, "/c")
	id := call("/c")
	cancel()
	if r := <-c; !errors.Is(r.error, context.Canceled) {
		t.Errorf("%+v", r)
	}
	wait(e, func(m *edgev1.Cancel) bool { return m.ID == id })
	d := do(t.Context(), "/d")
	call("/d")
	e.cut()
	if r := <-d; !errors.Is(r.error, ErrCut) {
		t.Errorf("%+v", r)
	}
	if s := e.sync.State(); s.Connected || s.Calls != 0 || s.Interests != 0 {
		t.Errorf("%+v", s)
	}
}

// What cannot be stored does not count as synced.
func TestCannotStore(t *testing.T) {
	e := newEnd(t)
	e.join()
	defer func() { e.cut() }()
	done := e.want(pods)
	id := e.interest("pods").ID
	e.sync.Receive(&edgev1.Put{ID: id, Version: "1", Object: []byte("garbage")})
	if err := <-done; err == nil || e.store.Synced(pods) {
		t.Errorf("%v", err)
	}
	wait(e, func(f *edgev1.Forget) bool { return f.ID == id })
}

// What has to come first does: calls can be made, and cloudcore hears nothing of
// interests until they are over, or the link is cut.
func TestFirst(t *testing.T) {
	e := newEnd(t)
	let := make(chan struct{})
	e.sync.First = func(ctx context.Context) {
		_, _ = e.sync.Do(ctx, edgev1.Call{Path: "/first"}) // there is no answer but the end of the session
		<-let
	}
	e.join()
	call := wait(e, func(c *edgev1.Call) bool { return c.Path == "/first" })
	e.sync.Receive(&edgev1.Reply{ID: call.ID, Status: 200})
	e.mu.Lock()
	sent := len(e.sent)
	e.mu.Unlock()
	if sent != 1 {
		t.Errorf("%d messages were sent, want the call alone", sent)
	}
	close(let)
	e.interest("nodes")
	e.cut()
	e.sync.First = func(ctx context.Context) { <-ctx.Done() }
	e.join()
	e.cut() // it does not hang
}

// What is asked again is forgotten first, and has a new number.
func TestAgain(t *testing.T) {
	e := newEnd(t)
	e.sync.Again(store.ResourceOf(pods)) // without a session it does nothing
	e.join()
	done := e.want(pods)
	first := e.interest("pods")
	e.sync.Receive(&edgev1.Synced{ID: first.ID})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	e.sync.Again(store.ResourceOf(pods))
	wait(e, func(f *edgev1.Forget) bool { return f.ID == first.ID })
	again := wait(e, func(i *edgev1.Interest) bool { return i.Resource == "pods" && i.ID != first.ID })
	if got := fmt.Sprint(e.order(again.ID)); got != "[interest have 0 0]" {
		t.Errorf("%s", got)
	}
	e.cut()
}

// An object that was deleted here a moment ago may be there again: its interest is
// compared later.
func TestDeletedAMomentAgo(t *testing.T) {
	e := newEnd(t)
	e.sync.Doubt = time.Millisecond
	id := e.joinWithPod()
	defer func() { e.cut() }()
	o := e.store.Items(pods)[0]
	e.store.Buried(store.Key{Resource: store.ResourceOf(pods), Namespace: o.Namespace, Name: o.Name}, o.UID)
	before := len(e.order(id))
	e.sync.Receive(&edgev1.Put{ID: id, Version: "5", Object: pod("a", "5")})
	if got := e.store.Items(pods); len(got) > 0 {
		t.Errorf("a message that does not know of the deletion counts: %v", got)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if got := e.order(id); len(got) == before {
			return fmt.Errorf("cloudcore does not hear what is here: %v", got)
		}
		return nil
	})
}

// When the cluster has gone back, what it sends counts in the same session.
func TestBack(t *testing.T) {
	e := newEnd(t)
	id := e.joinWithPod()
	defer func() { e.cut() }()
	version := func() string { return e.store.Items(pods)[0].Version }
	e.sync.Receive(&edgev1.Put{ID: id, Version: "5", Object: pod("a", "5")})
	if got := version(); got != "7" {
		t.Errorf("an older message counts: %s", got)
	}
	e.sync.Receive(&edgev1.Differ{ID: id, Back: true})
	wait(e, func(h *edgev1.Have) bool { return h.ID == id && len(h.Items) == 1 && h.Items[0].Version == "7" })
	e.sync.Receive(&edgev1.Put{ID: id, Version: "5", Object: pod("a", "5")})
	if got := version(); got != "5" {
		t.Errorf("it has version %s", got)
	}
}

// What is only read is read again when the cluster has gone back.
func TestBackOfWhatIsOnlyRead(t *testing.T) {
	e := newEnd(t)
	e.sync.Doubt = time.Millisecond
	id := e.joinWithPod()
	defer func() { e.cut() }()
	read := e.interest("csinodes")
	csinode := func(version string) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{"name":"edge-1","uid":"u","resourceVersion":%q}}`, version)
	}
	e.sync.Receive(&edgev1.Put{ID: read.ID, Version: "7", Object: csinode("7")})
	e.sync.Receive(&edgev1.Synced{ID: read.ID})
	e.sync.Receive(&edgev1.Differ{ID: id, Back: true})
	wait(e, func(h *edgev1.Have) bool { return h.ID == read.ID && len(h.Items) == 1 && h.Items[0].Version == "7" })
	e.sync.Receive(&edgev1.Put{ID: read.ID, Version: "5", Object: csinode("5")})
	what := *read
	what.ID = 0
	if got := e.store.Items(what); len(got) != 1 || got[0].Version != "5" {
		t.Errorf("it has %v", got)
	}
}
