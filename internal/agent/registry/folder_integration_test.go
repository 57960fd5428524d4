//go:build integration

package registry

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/gobuild"
)

const otherMember = 61235

// member has a program run as a member of the handlers' group.
func member(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: group}}
}

// TestUnprivilegedAgent is no test but the agent of others: root, in the group,
// and without any capability, as in its container.
func TestUnprivilegedAgent(t *testing.T) {
	dir := os.Getenv("REGISTRY_TEST_AGENT")
	if dir == "" {
		t.Skip("runs as a process of other tests")
	}
	if os.Getenv("REGISTRY_TEST_DROPPED") == "" {
		runtime.LockOSThread()
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal(syscall.Exec(os.Args[0], os.Args, append(os.Environ(), "REGISTRY_TEST_DROPPED=1")))
	}
	caps, err := os.ReadFile("/proc/self/status")
	if err != nil || !strings.Contains(string(caps), "CapEff:\t0000000000000000") {
		t.Fatalf("it has capabilities: %v\n%s", err, caps)
	}
	startAgent(t, dir, func(o *Options) { o.SocketGID = group })
	select {}
}

func unprivilegedAgent(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnprivilegedAgent$")
	cmd.Env = append(os.Environ(), "REGISTRY_TEST_AGENT="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{group}}}
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the agent said: %s", out)
		}
	})
}

// discoveryProgram builds akri-discovery where others can run it.
func discoveryProgram(t *testing.T) string {
	t.Helper()
	binary := gobuild.Program(t, "github.com/akri-go/akri/cmd/akri-discovery")
	if err := os.Chmod(filepath.Dir(filepath.Dir(binary)), 0o755); err != nil {
		t.Fatal(err)
	}
	return binary
}

// Handler and agent start together: the folder, which the kubelet made, is root's
// until the agent gives it to the group; and upstream's handlers, which ran as
// root, or others have left their sockets in it.
func TestHandlerThatComesBeforeTheAgent(t *testing.T) {
	needRoot(t)
	binary := discoveryProgram(t)
	for _, test := range []struct {
		name     string
		uid      int // of who has left a socket, -1 for nobody
		mode     os.FileMode
		live     bool // somebody answers there until the handler has said that it waits
		prepared bool // the folder is the group's already
		says     string
	}{
		{"nothing is there", -1, 0, false, false, "waiting until an agent gives the directory"},
		{"a dead socket of root", 0, 0o755, false, false, "removes the file with this handler's name"},
		{"a dead socket of root, made later", 0, 0o755, false, true, "removes the file with this handler's name"},
		{"a dead socket of another member", otherMember, 0o660, false, true, "removes the file with this handler's name"},
		{"a live socket of root", 0, 0o755, true, true, "removes the file with this handler's name"},
		{"a live socket of another member", otherMember, 0o660, true, true, "another process answers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := shortDir(t)
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if test.prepared {
				if err := prepareDir(dir, group); err != nil {
					t.Fatal(err)
				}
			}
			socket := filepath.Join(dir, "debugEcho.sock")
			end := func() {}
			if test.uid >= 0 {
				other, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
				if err != nil {
					t.Fatal(err)
				}
				other.SetUnlinkOnClose(false)
				end = func() { other.Close() }
				old := time.Now().Add(-time.Hour)
				if err := errors.Join(os.Chown(socket, test.uid, -1), os.Chmod(socket, test.mode), os.Chtimes(socket, old, old)); err != nil {
					t.Fatal(err)
				}
			}
			if !test.live {
				end()
			}
			t.Cleanup(end)
			says := startProgram(t, member(stranger), binary, "debugEcho", "-directory", dir)
			says(test.says)
			unprivilegedAgent(t, dir)
			end()
			says("handler registered with the agent")
		})
	}
}

// startProgram starts a program and returns what waits for a line of its log.
func startProgram(t *testing.T, who *syscall.SysProcAttr, name string, args ...string) (says func(text string)) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = who
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(logs); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range lines {
		}
		cmd.Wait()
	})
	return func(text string) {
		t.Helper()
		timeout := time.After(waitTimeout)
		var said []string
		for {
			select {
			case line, ok := <-lines:
				if said = append(said, line); strings.Contains(line, text) {
					return
				}
				if !ok {
					t.Fatalf("it ended, and said %q", said)
				}
			case <-timeout:
				t.Fatalf("it says %q, not %q", said, text)
			}
		}
	}
}

// A member of the group cannot take the agent's socket away, nor another
// handler's, nor lead the agent elsewhere.
func TestMembersCannotReplaceSockets(t *testing.T) {
	needRoot(t)
	dir := shortDir(t)
	unprivilegedAgent(t, dir)
	says := startProgram(t, member(stranger), discoveryProgram(t), "debugEcho", "-directory", dir)
	says("handler registered with the agent")
	for _, name := range []string{Socket, "debugEcho.sock"} {
		path := filepath.Join(dir, name)
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		mine := filepath.Join(dir, "mine")
		for _, command := range [][]string{
			{"rm", "-f", path}, {"ln", "-sfn", "/etc/passwd", path}, {"mv", path, path + ".old"},
			{"sh", "-c", "rm -f " + mine + "; echo > " + mine + "; mv -f " + mine + " " + path}, {"chmod", "0777", path},
		} {
			cmd := exec.Command(command[0], command[1:]...)
			cmd.SysProcAttr = member(otherMember)
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("%q was possible: %s", command, out)
			}
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
			t.Errorf("%s is another one: %v", name, err)
		}
	}
}
