//go:build integration

package registry

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Ids that no account needs to have.
const (
	stranger = 61234
	group    = 64321
)

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to run processes of other users")
	}
}

func TestWhoMayRegister(t *testing.T) {
	needRoot(t)
	binary := buildForeign(t)
	if err := os.Chmod(filepath.Dir(filepath.Dir(binary)), 0o755); err != nil { // others run it, too
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		who  syscall.Credential
		open bool   // the modes of folder and socket let everybody in
		want string // the fact that the handler tells
	}{
		{"root", syscall.Credential{}, false, "registered"},
		{"member", syscall.Credential{Uid: stranger, Gid: group}, false, "registered"},
		{"supplementary member", syscall.Credential{Uid: stranger, Gid: stranger, Groups: []uint32{5, group, 7}}, false, "registered"},
		{"stranger, doors closed", syscall.Credential{Uid: stranger, Gid: stranger}, false, "unregistered"},
		{"stranger, doors open", syscall.Credential{Uid: stranger, Gid: stranger, Groups: []uint32{5}}, true, "refused PermissionDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := shortDir(t)
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			refusals := make(chan Refusal, 100)
			a := startAgent(t, dir, func(o *Options) {
				o.SocketGID = group
				o.Refused = func(r Refusal) { refusals <- r }
			})
			a.Ask(requestOf("c", "foreign", ""))
			a.o.failure(t, "c", "", "no discovery handler")
			a.says(t, "") // it runs
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if stat := info.Sys().(*syscall.Stat_t); stat.Gid != group || stat.Mode&0o7777 != 0o3770 {
				t.Errorf("the folder has group %d, mode %o", stat.Gid, stat.Mode&0o7777)
			}
			own := filepath.Join(dir, "foreign.sock")
			if test.open {
				for path, mode := range map[string]os.FileMode{dir: 0o777, filepath.Join(dir, Socket): 0o666} {
					if err := os.Chmod(path, mode); err != nil {
						t.Fatal(err)
					}
				}
			}
			if test.want != "registered" { // it cannot bind in the folder
				elsewhere := shortDir(t)
				if err := os.Chmod(elsewhere, 0o777); err != nil {
					t.Fatal(err)
				}
				own = filepath.Join(elsewhere, "foreign.sock")
			}
			f := startForeignAs(t, &syscall.SysProcAttr{Credential: &test.who}, binary, "-directory", dir, "-socket", own, "-devices", "a")
			fact := f.says(test.want)
			switch test.want {
			case "registered":
				a.o.devices(t, "c", own, "a")
			case "refused PermissionDenied":
				if !strings.Contains(fact, "supplementalGroups") {
					t.Errorf("no remedy is named: %s", fact)
				}
				if r := <-refusals; r.UID != stranger || r.GID != stranger {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
}

// An agent in a container has no CAP_CHOWN and no CAP_FSETID.
func TestPrepareDirWithoutCapabilities(t *testing.T) {
	needRoot(t)
	if dir := os.Getenv("REGISTRY_TEST_DIR"); dir != "" {
		runtime.LockOSThread() // and never unlock: the thread is crippled
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Fatal(err)
		}
		if err := prepareDir(dir, group); err != nil {
			t.Fatal("refused: ", err)
		}
		return
	}
	run := func(dir string, groups ...uint32) (string, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPrepareDirWithoutCapabilities$")
		cmd.Env = append(os.Environ(), "REGISTRY_TEST_DIR="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: groups}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	dir := shortDir(t)
	if out, err := run(dir, group); err != nil {
		t.Errorf("as a member of the group: %v\n%s", err, out)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Gid != group || stat.Mode&0o7777 != 0o3770 {
		t.Errorf("the folder has group %d, mode %o", stat.Gid, stat.Mode&0o7777)
	}
	if out, err := run(shortDir(t)); err == nil || !strings.Contains(out, "supplementary group") {
		t.Errorf("not in the group: %v\n%s", err, out)
	}
}
