//go:build integration

package udev

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
)

// childEnv makes this test binary a process that prints what it discovers.
const childEnv = "AKRI_TEST_DISCOVER"

// TestUnprivileged runs the handler as it runs in a Pod: as nobody, without
// capabilities, and in a network namespace of its own.
func TestUnprivileged(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		discoverAndPrint(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become nobody in another network namespace")
	}
	// Nobody can run the program only where it may look.
	dir, err := os.MkdirTemp("", "akri-udev")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	copyFile(t, "/proc/self/exe", program)

	cmd := exec.Command(program, "-test.run=^TestUnprivileged$")
	cmd.Dir = dir
	cmd.Env = []string{childEnv + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET,
		Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, // which drops all capabilities
		Pdeathsig:  syscall.SIGKILL,
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(eventually.Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	until := func(what string, ok func(line string) bool) {
		t.Helper()
		for lines.Scan() {
			if ok(lines.Text()) {
				return
			}
		}
		t.Errorf("%s: not reported", what)
	}
	until("first report", func(l string) bool { return strings.HasPrefix(l, "found") })
	n := plug(t)
	name := " zram" + n + " "
	until("plug", func(l string) bool { return strings.Contains(l, name) })
	unplug(t, n)
	until("unplug", func(l string) bool { return strings.HasPrefix(l, "found") && !strings.Contains(l, name) })
	in.Close() // ends it
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the unprivileged process: %v", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// discoverAndPrint prints a line for each report until its input ends.
func discoverAndPrint(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil || os.Getuid() == 0 || !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Fatalf("this process is privileged: %v\n%s", err, status)
	}
	r := discover(t, New(Options{}), rules(`KERNEL=="zram*"`, `KERNEL=="null"`))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		r.cancel()
	}()
	for {
		select {
		case devices := <-r.ch:
			os.Stdout.WriteString(line(devices))
		case err := <-r.done:
			r.done <- err
			return
		}
	}
}

func line(devices []discovery.Device) string {
	s := "found "
	for _, d := range devices {
		s += filepath.Base(d.ID) + " "
	}
	return s + "\n"
}
