package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// deletion is the entry of a deletion.
func deletion(name, uid string) Entry {
	return Entry{Key: key(name), Kind: "delete", Durable: true, Deletes: uid, At: start,
		Call: edgev1.Call{Method: "DELETE", Path: "/" + name, Body: []byte(`{"a":1}`)}}
}

func (tr *trial) post(e Entry) {
	tr.t.Helper()
	if err := tr.Post(tr.t.Context(), e); err != nil {
		tr.t.Fatal(err)
	}
}

// waiting are the entries, in their order.
func (tr *trial) waiting() string {
	var all []string
	for _, e := range tr.Entries() {
		all = append(all, e.Kind+":"+e.Name)
	}
	return strings.Join(all, " ")
}

// crash opens a copy of the file as it is on the disk now.
func (tr *trial) crash() *trial {
	tr.t.Helper()
	path := filepath.Join(tr.t.TempDir(), "edgecore.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(tr.path + suffix)
		if err == nil {
			err = os.WriteFile(path+suffix, data, 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			tr.t.Fatal(err)
		}
	}
	again := open(tr.t, path, tr.now)
	tr.t.Cleanup(func() { again.Close() })
	return again
}

// A deletion is done here and on the disk when Post returns, and whatever the
// cloud says does not bring the object back.
func TestDeletion(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u1", "5", "Running")
	tr.put(pods, "b", "u2", "6", "Running")
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rv := tr.RV()
	tr.post(deletion("a", "u1"))
	for name, tr := range map[string]*trial{"now": tr, "after a power cut": tr.crash(), "after two": tr.crash().crash()} {
		t.Run(name, func(t *testing.T) {
			tr.t = t
			tr.expect("list", tr.names(pods), "b:Running")
			tr.expect("watch", tr.since(pods, rv), "DELETED:a/u1:Running")
			tr.expect("outbox", tr.waiting(), "delete:a")
			if d := cmp.Diff(deletion("a", "u1").Call, tr.Entries()[0].Call); d != "" {
				t.Error(d)
			}
			if o, _, known := tr.Known(key("a"), edgev1.As{}); o != nil || !known {
				t.Errorf("it is not known to be gone: %v, %v", o, known)
			}
			tr.Session()
			tr.drops(pods, "a", "u1", "7", "Running")
			tr.Complete(pods, "8")
			tr.expect("the cloud does not know", tr.names(pods), "b:Running")
			if o, err := tr.Written(ResourceOf(pods), pod("a", "u1", "8", "Failed")); o != nil || err != nil {
				t.Errorf("a call brings it back: %v, %v", o, err)
			}
			tr.put(pods, "a", "u3", "9", "Running")
			tr.expect("another one", tr.names(pods), "a:Running b:Running")
			tr.Settle(tr.Entries()[0].Seq, true)
			tr.expect("outbox", tr.waiting(), "")
			tr.Gone(pods, edgev1.Item{Namespace: "n", Name: "a", UID: "u3"})
			tr.drops(pods, "a", "u1", "7", "Running")
			tr.expect("an old message", tr.names(pods), "b:Running")
		})
	}
}

// What the cloud refuses to delete comes back with what the cloud says.
func TestDeletionRefused(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u1", "5", "Running")
	tr.post(deletion("a", "u1"))
	tr.Settle(tr.Entries()[0].Seq, false)
	if items := tr.Items(pods); len(items) != 0 {
		t.Errorf("the cloud is told that it is here: %v", items)
	}
	tr.put(pods, "a", "u1", "5", "Running")
	tr = tr.reopen()
	tr.expect("list", tr.names(pods), "a:Running")
	tr.expect("outbox", tr.waiting(), "")
}

// The last entry of a key and kind counts, also after a restart.
func TestEntries(t *testing.T) {
	tr := fresh(t)
	event := func(name, text string) Entry {
		return Entry{Key: key(name), Kind: "event", Call: edgev1.Call{Body: []byte(text)}}
	}
	for i := range 3 {
		tr.post(event("a", fmt.Sprint(i)))
		tr.post(event("b", fmt.Sprint(i)))
	}
	tr.post(deletion("a", "u"))
	tr.post(event("a", "last"))
	const want = "event:b delete:a event:a"
	tr.expect("now", tr.waiting(), want)
	tr = tr.reopen()
	tr.expect("after a restart", tr.waiting(), want)
	if e := tr.Entries()[2]; string(e.Call.Body) != "last" || e.Durable {
		t.Errorf("%+v", e)
	}
	tr.Settle(tr.Entries()[0].Seq, true)
	tr.post(event("c", "new"))
	tr = tr.reopen()
	tr.expect("one settled", tr.waiting(), "delete:a event:a event:c")
}

// A Pod cannot replace what the kubelet has posted, by giving it the same name.
func TestEntriesOfOthers(t *testing.T) {
	tr := fresh(t)
	event := func(account, text string) Entry {
		return Entry{Key: key("a"), Kind: "event", Call: edgev1.Call{As: edgev1.As{ServiceAccount: account}, Body: []byte(text)}}
	}
	for _, account := range []string{"", "n/sa", "n/other", "n/sa"} {
		tr.post(event(account, "of "+account))
	}
	tr = tr.reopen()
	var got []string
	for _, e := range tr.Entries() {
		got = append(got, string(e.Call.Body))
	}
	tr.expect("outbox", strings.Join(got, ", "), "of , of n/other, of n/sa")
}

// On a full disk nothing is deleted.
func TestDeletionOnFullDisk(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u1", "5", "Running")
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.file.mu.Lock()
	_, err := tr.file.db.ExecContext(t.Context(), "PRAGMA max_page_count = 1") // SQLite makes it as many as there are
	tr.file.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	e := deletion("a", "u1")
	e.Call.Body = make([]byte, 100<<10)
	if err := tr.Post(t.Context(), e); !errors.Is(err, ErrNotWritten) {
		t.Fatalf("%v", err)
	}
	tr.expect("list", tr.names(pods), "a:Running")
	tr.expect("outbox", tr.waiting(), "")
	tr.put(pods, "a", "u1", "6", "Failed")
	tr.expect("it is not buried", tr.names(pods), "a:Failed")
}

// A file that is damaged while it is open is replaced, and what waits is in the
// new one.
func TestEntriesOutliveDamage(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u1", "5", "Running")
	tr.post(deletion("a", "u1"))
	tr.file.mu.Lock()
	_, err := tr.file.db.ExecContext(t.Context(), "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 999 WHERE name = 'objects'; PRAGMA writable_schema = RESET")
	tr.file.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	tr.put(pods, "b", "u2", "6", "Running")
	tr.post(deletion("b", "u2"))
	if !strings.Contains(tr.log.String(), "THE STORE IS DAMAGED") {
		t.Errorf("it does not say so: %s", tr.log)
	}
	tr.expect("after a power cut", tr.crash().waiting(), "delete:a delete:b")
}

// Only what has to be on the disk is waited for.
func TestSynchronous(t *testing.T) {
	tr := fresh(t)
	want := func(what string, want int) {
		t.Helper()
		if err := tr.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got int
		tr.file.mu.Lock()
		defer tr.file.mu.Unlock()
		if err := tr.file.db.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&got); err != nil || got != want {
			t.Errorf("%s is written with synchronous = %d, %v; want %d", what, got, err, want)
		}
	}
	const normal, full = 1, 2
	tr.follow(pods)
	want("an interest", normal)
	tr.post(Entry{Key: key("a"), Kind: "delete", Durable: true})
	want("a deletion", full)
	tr.post(Entry{Key: key("b"), Kind: "event"})
	want("an Event", normal)
}
