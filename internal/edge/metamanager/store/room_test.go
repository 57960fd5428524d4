package store

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

func mapsOf(account string, i int) edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: "configmaps", Namespace: fmt.Sprint(i), As: edgev1.As{ServiceAccount: account}}
}

// Pods that ask for more and more take nothing from each other, nor from the
// node.
func TestRoomForPods(t *testing.T) {
	s := fresh(t)
	s.follow(pods)
	for i := range 3 * maxAccountInterests {
		s.now = s.now.Add(1) // the node's own is the oldest
		if err := s.Add(mapsOf("n/greedy", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Interests; n != 1+maxAccountInterests {
		t.Errorf("one service account has %d interests", n-1)
	}
	for account := range maxInterests / maxAccountInterests * 2 {
		for i := range maxAccountInterests {
			s.now = s.now.Add(1)
			if err := s.Add(mapsOf(fmt.Sprint("n/", account), i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.Stats().Interests; n != maxInterests || !s.Synced(pods) {
		t.Errorf("%d interests, the node's own is there: %v", n, s.Synced(pods))
	}
	// The node drives out what Pods follow.
	for i := range maxInterests - 1 {
		if err := s.Add(mapsOf("", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(mapsOf("n/late", 0)); !errors.Is(err, ErrFull) || !s.Synced(pods) {
		t.Errorf("a Pod drives out what the node follows: %v", err)
	}
}

// A service account whose interests are all watched gets no other one.
func TestRoomOfWatched(t *testing.T) {
	s := fresh(t)
	for i := range maxAccountInterests {
		what := mapsOf("n/a", i)
		s.follow(what)
		w, err := s.Watch(what, s.RV())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
	}
	if err := s.Add(mapsOf("n/a", maxAccountInterests)); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := s.Add(mapsOf("n/b", 0)); err != nil {
		t.Error(err)
	}
}

// Pods fill the store, and the node still has room; nor do they fill it by what
// they write.
func TestBytesForPods(t *testing.T) {
	st, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "edgecore.db"), Log: slog.New(slog.DiscardHandler), MaxBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	big := func(name string) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"0","uid":%q,"resourceVersion":"1"},"data":{"x":"%01000d"}}`, name, name, 0)
	}
	theirs, own := mapsOf("n/a", 0), edgev1.Interest{Version: "v1", Resource: "configmaps", Namespace: "0"}
	for _, what := range []edgev1.Interest{theirs, own} {
		if err := st.Add(what); err != nil {
			t.Fatal(err)
		}
		st.Complete(what, "1")
	}
	fill := func(put func(string) error) {
		t.Helper()
		for i := range 200 {
			err := put(fmt.Sprint(i))
			if errors.Is(err, ErrFull) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Error("it is never full")
	}
	fill(func(name string) error { return st.Put(theirs, "1", big("theirs-"+name)) })
	if n := st.Stats().Bytes; n < 70_000 || n > 75_000 {
		t.Errorf("Pods have filled %d bytes", n)
	}
	if err := st.Put(own, "1", big("own")); err != nil {
		t.Errorf("no room for the node: %v", err)
	}
	for i := range 200 {
		if _, err := st.Written(ResourceOf(own), big(fmt.Sprint("written-", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := st.Stats().Bytes; n > 100_000 {
		t.Errorf("%d bytes were written", n)
	}
}

// What only Pods follow has no place in the node's quarter, though they write it
// through the node.
func TestBytesThatPodsWrite(t *testing.T) {
	st, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "edgecore.db"), Log: slog.New(slog.DiscardHandler), MaxBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	theirs := mapsOf("n/a", 0)
	if err := st.Add(theirs); err != nil {
		t.Fatal(err)
	}
	st.Complete(theirs, "1")
	for i := range 200 {
		if _, err := st.Written(ResourceOf(theirs), fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%d","namespace":"0","uid":"%d","resourceVersion":"1"},"data":{"x":"%01000d"}}`, i, i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if n := st.Stats().Bytes; n < 70_000 || n > 75_000 {
		t.Errorf("Pods have written %d bytes", n)
	}
}
