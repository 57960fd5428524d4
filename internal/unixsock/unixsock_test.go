package unixsock_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/unixsock"
)

func TestListenReplacesADeadSocket(t *testing.T) {
	path := filepath.Join(dir(t), "a.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()

	l, err := unixsock.Listen(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Mode().Perm(); got != 0o660 {
		t.Errorf("mode %o, want 660", got)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the new socket does not answer: %v", err)
	}
	conn.Close()
}

func TestListenLeavesALiveSocket(t *testing.T) {
	path := filepath.Join(dir(t), "a.sock")
	first, err := unixsock.Listen(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := unixsock.Listen(path, 0o660); !errors.Is(err, unixsock.ErrInUse) {
		t.Fatalf("second Listen: %v, want ErrInUse", err)
	}
	if first.Lost() {
		t.Error("the first socket was taken away")
	}
}

func TestListenRefuses(t *testing.T) {
	d := dir(t)
	plain := filepath.Join(d, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a plain file":    plain,
		"a missing dir":   filepath.Join(d, "missing", "a.sock"),
		"a path too long": filepath.Join(d, strings.Repeat("x", 120)),
	} {
		if l, err := unixsock.Listen(path, 0o660); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		}
	}
	if left, err := os.ReadDir(d); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v %v", left, err)
	}
}

func TestCloseRemovesOnlyItsOwnFile(t *testing.T) {
	path := filepath.Join(dir(t), "a.sock")
	l, err := unixsock.Listen(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !l.Lost() {
		t.Error("the loss was not seen")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's file was removed: %v", err)
	}

	again, err := unixsock.Listen(filepath.Join(dir(t), "b.sock"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := os.Lstat(again.Addr().String()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// Neither the socket nor a folder on the way to it may be a link.
func TestDialFollowsNoLinks(t *testing.T) {
	d := dir(t)
	inner := filepath.Join(d, "inner")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := unixsock.Listen(filepath.Join(inner, "a.sock"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, to := range map[string]string{"link.sock": "inner/a.sock", "folder": "inner", "out": os.TempDir()} {
		if err := os.Symlink(to, filepath.Join(d, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		"inner/a.sock": true, "link.sock": false, "folder/a.sock": false, "out/" + filepath.Base(d) + "/inner/a.sock": false,
		"inner": false, "missing": false,
	} {
		conn, err := unixsock.Dial(t.Context(), &net.Dialer{}, d, d+"/"+path)
		if (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// dir is a folder with a short name: a socket's path is limited.
func dir(t *testing.T) string {
	d, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}
