package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/eventually"
)

func TestRestart(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u1", "5", "Running")
	rv := tr.rv(pods)
	tr.put(pods, "a", "u1", "6", "Failed")
	tr.put(pods, "b", "u2", "7", "Running")
	tr.Gone(pods, edgev1.Item{Namespace: "n", Name: "a", UID: "u1"})
	if err := tr.Add(active); err != nil {
		t.Fatal(err)
	}
	id, last := tr.ID(), tr.RV()
	tr = tr.reopen()
	if tr.ID() != id {
		t.Error("it is another store")
	}
	tr.expect("list", tr.names(pods), "b:Running")
	tr.expect("not synced before, nor now", tr.names(active), ErrNotSynced.Error())
	tr.expect("a watch goes on", tr.since(pods, rv), "MODIFIED:a/u1:Failed ADDED:b/u2:Running DELETED:a/u1:Failed")
	tr.expect("a watch goes on", tr.since(pods, last), "")
	if now := tr.rv(pods); now < last || now < uint64(start.Add(time.Second).UnixMilli()) {
		t.Errorf("the RV was %d and is %d", last, now)
	}
	// A clock that is wrong at boot takes nothing back.
	tr.now = time.Unix(0, 0)
	last = tr.RV()
	tr = tr.reopen()
	tr.put(pods, "c", "u3", "8", "Running")
	if o := tr.Get(key("c")); o.RV <= last {
		t.Errorf("RV %d after %d", o.RV, last)
	}
	if items := tr.Items(pods); len(items) != 2 {
		t.Errorf("%v", items)
	}
}

// What a power cut took, clients may have seen: their RVs are expired.
func TestLostTail(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u1", "5", "Running")
	before := tr.RV()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(tr.path)
	if err != nil {
		t.Fatal(err)
	}
	tr = open(t, tr.path, tr.now)
	tr.put(pods, "a", "u1", "6", "Failed")
	lost := tr.RV()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tr.path, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(tr.path + "-wal")
	tr = open(t, tr.path, tr.now.Add(time.Minute))
	defer tr.Close()
	tr.expect("list", tr.names(pods), "a:Running")
	tr.expect("from before", tr.since(pods, before), "")
	tr.expect("from what is lost", tr.since(pods, lost), ErrExpired.Error())
	tr.expect("from now", tr.since(pods, tr.RV()), "")
	tr.expect("from the future", tr.since(pods, tr.RV()+1), ErrTooLarge.Error())
}

// The log has an end; who comes from before it is told so.
func TestEventLog(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	other := edgev1.Interest{Version: "v1", Resource: "nodes"}
	tr.follow(other)
	rv := tr.RV()
	for i := range maxEvents + 1 {
		tr.put(pods, "a", "u", fmt.Sprint(i+1), "Running")
	}
	tr.expect("pods", tr.since(pods, rv), ErrExpired.Error())
	tr.expect("another resource", tr.since(other, rv), "")
	tr = tr.reopen()
	tr.expect("pods", tr.since(pods, rv), ErrExpired.Error())
	if n := strings.Count(tr.since(pods, rv+1), "MODIFIED"); n != maxEvents {
		t.Errorf("%d events after a restart", n)
	}
	big := pod("big", "u", "1", strings.Repeat("x", 1<<20))
	for range 6 {
		if err := tr.Put(pods, fmt.Sprint(time.Now()), big); err != nil {
			t.Fatal(err)
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if n := tr.state.log.bytes; n > maxEventBytes {
		t.Errorf("the log has %d bytes", n)
	}
}

// damage returns the store of a file that was damaged.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"no database":          func([]byte) []byte { return []byte("garbage, and long enough to be read as a header of a page") },
		"cut off":              func(b []byte) []byte { return b[:len(b)/2] },
		"a page of zeros":      func(b []byte) []byte { clear(b[4096:8192]); return b },
		"all pages but one":    func(b []byte) []byte { clear(b[4096:]); return b },
		"of another version":   func(b []byte) []byte { b[63] = 99; return b }, // user_version
		"an object is garbage": func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), `"kind":"Pod"`, `"kind"+"Pod"`)) },
	} {
		t.Run(name, func(t *testing.T) {
			tr := fresh(t)
			tr.follow(pods)
			for i := range 50 {
				tr.put(pods, fmt.Sprint("p", i), "u", "5", "Running")
			}
			id, rv := tr.ID(), tr.RV()
			if err := tr.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(tr.path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(tr.path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			tr = open(t, tr.path, tr.now.Add(time.Minute))
			defer tr.Close()
			tr.expect("list", tr.names(pods), ErrNotSynced.Error())
			if !strings.Contains(tr.log.String(), "THE STORE IS DAMAGED") || tr.ID() == id {
				t.Errorf("it does not say so, or is the same store: %s", tr.log)
			}
			if _, err := os.Stat(tr.path + ".damaged"); err != nil {
				t.Error(err)
			}
			tr.follow(pods)
			tr.put(pods, "a", "u", "6", "Running")
			tr.expect("an RV of before", tr.since(pods, rv), ErrExpired.Error())
			tr = tr.reopen()
			tr.expect("the new one lasts", tr.names(pods), "a:Running")
		})
	}
}

// A file that is damaged while it is open is replaced by one with what is in
// memory.
func TestDamagedWhileOpen(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.file.mu.Lock()
	_, err := tr.file.db.ExecContext(t.Context(), "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 999 WHERE name = 'objects'; PRAGMA writable_schema = RESET")
	tr.file.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	tr.put(pods, "b", "u", "6", "Running")
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tr.log.String(), "THE STORE IS DAMAGED") {
		t.Errorf("it does not say so: %s", tr.log)
	}
	tr = tr.reopen()
	tr.expect("all is there", tr.names(pods), "a:Running b:Running")
}

// A full disk: reads go on, Healthy says why nothing lasts, and when there is
// room everything is written.
func TestFull(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	limit := func(pages int) {
		t.Helper()
		tr.file.mu.Lock()
		defer tr.file.mu.Unlock()
		if _, err := tr.file.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	limit(1) // SQLite makes it as many as there are
	for i := range 100 {
		tr.put(pods, fmt.Sprint("p", i), "u", "5", "Running")
	}
	if err := tr.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("written: %v", err)
	}
	if err := tr.Healthy(); err == nil || !strings.Contains(tr.log.String(), "make room on its disk") {
		t.Errorf("%v, %s", err, tr.log)
	}
	if list, _, err := tr.List(pods); err != nil || len(list) != 101 {
		t.Errorf("%d objects, %v", len(list), err)
	}
	limit(1 << 20)
	if err := tr.Flush(t.Context()); err != nil || tr.Healthy() != nil {
		t.Fatalf("%v, %v", err, tr.Healthy())
	}
	tr = tr.reopen()
	if list, _, err := tr.List(pods); err != nil || len(list) != 101 {
		t.Errorf("%d objects after a restart, %v", len(list), err)
	}
}

// No file can be made: the store works in memory.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "edgecore.db")
	if err := os.Mkdir(path, 0o700); err != nil { // in its place, so that root cannot write there either
		t.Fatal(err)
	}
	tr := open(t, path, start)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	tr.expect("list", tr.names(pods), "a:Running")
	if err := tr.Flush(t.Context()); err == nil || tr.Healthy() == nil {
		t.Error("it does not say that nothing is written")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr = tr.reopen()
	tr.expect("list", tr.names(pods), "a:Running")
	tr.Close()
}

// A file that cannot be opened keeps what it has, what waits for the cloud above
// all.
func TestUnopened(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	tr.put(pods, "b", "v", "6", "Running")
	entry := Entry{Key: key("b"), Kind: "delete", Durable: true, Deletes: "v"}
	if err := tr.Post(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	id := tr.ID()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(tr.path + "-wal"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tr.path+"-wal", 0o700); err != nil { // SQLite cannot open it then, not even as root
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Path: tr.path, Log: tr.Store.log})
	if err == nil || !strings.Contains(err.Error(), "it stays as it is") || strings.Contains(tr.log.String(), "DAMAGED") {
		t.Errorf("%v, %s", err, tr.log)
	}
	if err := os.Remove(tr.path + "-wal"); err != nil {
		t.Fatal(err)
	}
	tr = open(t, tr.path, start.Add(time.Minute))
	defer tr.Close()
	tr.expect("what it had", tr.names(pods), "a:Running")
	if waits := tr.Entries(); tr.ID() != id || len(waits) != 1 || waits[0].Deletes != "v" {
		t.Errorf("store %s, was %s; %+v wait", tr.ID(), id, waits)
	}
}

// A file that comes to light only after the start is not written over.
func TestAnother(t *testing.T) {
	old := fresh(t)
	old.follow(pods)
	old.put(pods, "a", "u", "5", "Running")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "edgecore.db")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	tr := open(t, path, start)
	tr.follow(pods)
	tr.put(pods, "b", "u", "5", "Running")
	tr.flushing.Lock() // nothing is written meanwhile
	err := errors.Join(os.Remove(path), os.Rename(old.path, path))
	tr.flushing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Flush(t.Context()); !errors.Is(err, errAnother) {
		t.Errorf("it is written over: %v", err)
	}
	tr.expect("in memory", tr.names(pods), "b:Running")
	tr.Close() // says that nothing was written
	tr = open(t, path, start)
	defer tr.Close()
	tr.expect("what it had", tr.names(pods), "a:Running")
}

// Of damaged files the last one is kept.
func TestOneAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edgecore.db")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range []string{"damaged, the first one", "damaged, the second one"} {
		write(path, text)
		if i == 0 {
			write(path+".damaged-wal", "of a still older one")
		}
		tr := open(t, path, start)
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path + ".damaged"); string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestOneProcess(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Path: tr.path, Log: tr.Store.log})
	if err == nil || !strings.Contains(err.Error(), "another process has it") {
		t.Errorf("%v", err)
	}
}

// If nothing changes, nothing is written, whatever is read.
func TestIdleWritesNothing(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	look := func() (all string) {
		for _, suffix := range []string{"", "-wal"} {
			if i, err := os.Stat(tr.path + suffix); err == nil {
				all += fmt.Sprint(i.Size(), i.ModTime(), " ")
			} else if !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		return all
	}
	before := look()
	for range 100 {
		tr.names(pods)
		tr.since(pods, tr.RV())
		tr.Known(key("a"), edgev1.As{})
		tr.Complete(pods, "1")
		tr.put(pods, "a", "u", "5", "Running")
		tr.now = tr.now.Add(time.Hour)
		if err := tr.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := look(); before != after {
		t.Errorf("the file was %s and is %s", before, after)
	}
}

// A Node's heartbeats are not written for themselves, but with the next change, and
// are lost at most.
func TestHeartbeats(t *testing.T) {
	tr := fresh(t)
	follow := edgev1.Interest{Version: "v1", Resource: "nodes"}
	tr.follow(follow)
	version := 4
	put := func(beat, ready string) {
		t.Helper()
		version++
		node := fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"n","uid":"u","resourceVersion":"%d","managedFields":[{"time":%q}]},
			"status":{"conditions":[{"type":"Ready","status":%q,"lastHeartbeatTime":%[2]q}]}}`, version, beat, ready)
		if err := tr.Put(follow, fmt.Sprint(version), []byte(node)); err != nil {
			t.Fatal(err)
		}
	}
	urgent := func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.state.dirty.urgent
	}
	flush := func() {
		t.Helper()
		if err := tr.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	put("10:00", "True")
	flush()
	rv := tr.rv(follow)
	put("10:05", "True")
	put("10:10", "True")
	if urgent() {
		t.Error("a heartbeat is written")
	}
	if o := tr.Get(Key{Nodes, "", "n"}); !strings.Contains(string(o.JSON), "10:10") || o.Version != "7" {
		t.Errorf("the heartbeat is not there: %s", o.JSON)
	}
	if n := strings.Count(tr.since(follow, rv), "MODIFIED"); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	put("10:10", "False")
	flush()
	for range maxUnwritten / 2 {
		put("10:15", "False")
	}
	if urgent() {
		t.Error("heartbeats are written")
	}
	lost := tr.RV()
	tr.now = time.Unix(0, 0) // the clock is wrong after the power cut
	after := tr.crash()
	if rv := after.RV(); rv < lost {
		t.Errorf("RVs go on at %d, and %d was given", rv, lost)
	}
	if o := after.Get(Key{Nodes, "", "n"}); !strings.Contains(string(o.JSON), `"False"`) {
		t.Errorf("a change was lost: %s", o.JSON)
	}
	// So they are written when there are very many.
	for range maxUnwritten {
		put("10:20", "False")
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		o := tr.crash().Get(Key{Nodes, "", "n"})
		if o == nil || !strings.Contains(string(o.JSON), "10:20") {
			return fmt.Errorf("the file has %+v", o)
		}
		return nil
	})
}

func TestKnown(t *testing.T) {
	tr := fresh(t)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	one := edgev1.Interest{Version: "v1", Resource: "pods", Namespace: "n", FieldSelector: "metadata.name=x"}
	tr.follow(one)
	read := edgev1.Interest{Version: "v1", Resource: "pods", Namespace: "n", FieldSelector: "metadata.name=y", Get: true}
	tr.follow(read)
	other := edgev1.As{ServiceAccount: "n/default"}
	for _, c := range []struct {
		name               string
		as                 edgev1.As
		there, live, known bool
	}{
		{"a", edgev1.As{}, true, true, true},
		{"b", edgev1.As{}, false, false, false}, // it may be on another node
		{"x", edgev1.As{}, false, true, true},
		{"y", edgev1.As{}, false, false, true},
		{"a", other, false, false, false},
		{"x", other, false, false, false},
	} {
		o, live, known := tr.Known(key(c.name), c.as)
		if (o != nil) != c.there || live != c.live || known != c.known {
			t.Errorf("%s as %v: there %v, live %v, known %v", c.name, c.as, o != nil, live, known)
		}
	}
}
