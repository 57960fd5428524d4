//go:build integration

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fill takes all the room of a file system, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	file := filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() { os.Remove(file) }
}

// A disk that is really full: a store that is open goes on, one that is opened
// has what it had, and both write again when there is room.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a file system: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	tr := open(t, filepath.Join(dir, "edgecore.db"), start)
	tr.follow(pods)
	tr.put(pods, "a", "u", "5", "Running")
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	free := fill(t, dir)
	for i := range 200 {
		tr.put(pods, fmt.Sprint("p", i), "u", "5", "Running")
	}
	if err := tr.Flush(t.Context()); err == nil {
		t.Fatal("it is written to a full disk")
	}
	if list, _, err := tr.List(pods); err != nil || len(list) != 201 {
		t.Errorf("%d objects, %v", len(list), err)
	}
	if err := tr.Close(); err == nil {
		t.Error("what is lost is not said")
	}

	tr = open(t, tr.path, start.Add(1e9))
	tr.expect("opened on a full disk", tr.names(pods), "a:Running")
	if strings.Contains(tr.log.String(), "DAMAGED") {
		t.Errorf("it is taken for damaged: %s", tr.log)
	}
	tr.put(pods, "b", "u", "6", "Running")
	if err := tr.Flush(t.Context()); err == nil || tr.Healthy() == nil {
		t.Error("it is written to a full disk")
	}
	tr.expect("in memory", tr.names(pods), "a:Running b:Running")
	free()
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr = tr.reopen()
	tr.expect("when there is room", tr.names(pods), "a:Running b:Running")
	tr.Close()

	// A new store on a full disk works in memory.
	free = fill(t, dir)
	fresh := open(t, filepath.Join(dir, "new", "edgecore.db"), start)
	fresh.follow(pods)
	fresh.put(pods, "a", "u", "5", "Running")
	fresh.expect("new on a full disk", fresh.names(pods), "a:Running")
	free()
	if err := fresh.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh = fresh.reopen()
	fresh.expect("when there is room", fresh.names(pods), "a:Running")
	fresh.Close()
}
