package dirwatch

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

const waitTimeout = eventually.Patience

// notes is a log that can be read while it is written.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// await waits for a change of one of these names.
func await(t *testing.T, w *Watcher, names ...string) {
	t.Helper()
	timeout := time.After(waitTimeout)
	for {
		select {
		case c := <-w.Changes():
			if slices.Contains(names, c.Name) {
				return
			}
		case <-timeout:
			t.Fatalf("%q: no change within %s", names, waitTimeout)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatcher(t *testing.T) {
	leaktest.Check(t)
	folder := t.TempDir()
	later := filepath.Join(folder, "later")
	log := &notes{}
	w := New(slog.New(slog.NewTextHandler(log, nil)), folder, later)
	defer w.Close()
	try(t, w, folder, later)
	if log.String() != "" {
		t.Errorf("it says %s", log)
	}
}

// try makes each kind of change and waits until it is told of.
func try(t *testing.T, w *Watcher, folder, later string) {
	t.Helper()
	file := filepath.Join(folder, "file")
	write(t, file, "made")
	await(t, w, "file")
	write(t, file, "written again")
	await(t, w, "file")
	write(t, filepath.Join(folder, "other"), "another file")
	await(t, w, "other")
	if err := os.Rename(filepath.Join(folder, "other"), file); err != nil {
		t.Fatal(err)
	}
	await(t, w, "other")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await(t, w, "file")
	if err := os.Chmod(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	await(t, w, "")
	for range 2 { // a folder that comes, is used, and goes
		if err := os.Mkdir(later, 0o700); err != nil {
			t.Fatal(err)
		}
		await(t, w, "")
		write(t, filepath.Join(later, "inner"), "made")
		await(t, w, "inner", "") // the folder may be new still
		if err := os.RemoveAll(later); err != nil {
			t.Fatal(err)
		}
		await(t, w, "")
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
}

// limit is how many inotify instances a user may have in this user namespace.
const limit = "/proc/sys/user/max_inotify_instances"

// The child process has a user namespace of its own, in which there are no
// inotify instances to have.
func TestWithoutInotify(t *testing.T) {
	if os.Getenv("DIRWATCH_TEST_CHILD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWithoutInotify$", "-test.v")
		cmd.Env = append(os.Environ(), "DIRWATCH_TEST_CHILD=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil && strings.Contains(err.Error(), "fork/exec") {
			t.Skipf("needs a user namespace: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	write(t, limit, "0")
	folder := t.TempDir()
	log := &notes{}
	later := filepath.Join(folder, "later")
	w := start(slog.New(slog.NewTextHandler(log, nil)), 50*time.Millisecond, folder, later)
	defer w.Close()
	try(t, w, folder, later)
	if text := log.String(); !strings.Contains(text, "sysctl -w fs.inotify.max_user_instances") || strings.Count(text, "\n") != 1 {
		t.Errorf("it says %q, want one line with the remedy", text)
	}
	write(t, limit, "128")
	for deadline := time.Now().Add(waitTimeout); !strings.Contains(log.String(), "by inotify again"); {
		if time.Now().After(deadline) {
			t.Fatal("it does not go back to inotify")
		}
		write(t, filepath.Join(folder, "file"), time.Now().String())
		select {
		case <-w.Changes():
		case <-time.After(waitTimeout):
			t.Fatal("no change is told")
		}
	}
	try(t, w, folder, later)
}

func TestDiffers(t *testing.T) {
	a, b := stamp{inode: 1, size: 1}, stamp{inode: 2, size: 1}
	for _, test := range []struct {
		name      string
		then, now snapshot
		want      string
	}{
		{"the same", snapshot{entries: map[string]stamp{"x": a}}, snapshot{entries: map[string]stamp{"x": a}}, ""},
		{"made", snapshot{}, snapshot{entries: map[string]stamp{"x": a}}, "x"},
		{"removed", snapshot{entries: map[string]stamp{"x": a}}, snapshot{}, "x"},
		{"replaced", snapshot{entries: map[string]stamp{"x": a}}, snapshot{entries: map[string]stamp{"x": b}}, "x"},
		{"the folder came", snapshot{missing: true}, snapshot{}, "anything"},
		{"the folder's mode", snapshot{}, snapshot{self: stamp{mode: 0o700}}, "anything"},
		{"too many to know", snapshot{crowded: true}, snapshot{crowded: true}, "anything"},
	} {
		var got []string
		for _, name := range test.then.differs(test.now) {
			if name == "" {
				name = "anything"
			}
			got = append(got, name)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
