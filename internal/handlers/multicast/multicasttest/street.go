// Package multicasttest has networks for the tests of handlers that use
// multicast: the node's and, at the other end of a cable, the street, where the
// devices are. Both are network namespaces of the test; nothing of the machine's
// network is touched.
package multicasttest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/eventually"
)

// insideEnv says that this process is the one with a network of its own.
const insideEnv = "AKRI_TEST_INSIDE_NETWORK"

// Main is TestMain of a package whose tests run in a network namespace of their
// own, the node's. It needs root.
func Main(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		// Tests do not run on this thread, so that it stays in the node's namespace:
		// it is the one that /proc/<pid> stands for.
		runtime.LockOSThread()
		flag.Parse()
		_ = flag.Set("test.parallel", "8") // they wait for the network, not for processors
		os.Exit(m.Run())
	}
	if os.Getuid() != 0 {
		fmt.Println("SKIP: needs root to make network namespaces")
		return
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Street is the network namespace with the devices. What opens sockets there must
// run there. Its interface is called cable, and has 10.99.0.2/24, 10.99.0.11 to
// 10.99.0.18, and an address of the link; the node's other end is eth0 with
// 10.99.0.1/24.
type Street struct {
	work chan func()
}

// NewStreet makes the namespace and the cable to it, and takes both away at the
// end of the test.
func NewStreet(t testing.TB) *Street {
	t.Helper()
	s := &Street{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range s.work {
			f()
		}
	}()
	t.Cleanup(func() { close(s.work) })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	s.In(func() {
		IP(t, "link", "set", "lo", "up")
		IP(t, "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(os.Getpid()))
		writeFile(t, "/proc/sys/net/ipv6/conf/cable/accept_dad", "0")
		IP(t, "link", "set", "cable", "up")
		IP(t, "addr", "add", "10.99.0.2/24", "dev", "cable")
		for n := range 8 {
			IP(t, "addr", "add", fmt.Sprintf("10.99.0.%d/24", 11+n), "dev", "cable")
		}
	})
	t.Cleanup(func() { s.In(func() { IP(t, "link", "del", "cable") }) })
	IP(t, "link", "set", "lo", "up")
	if t.Failed() {
		t.FailNow()
	}
	writeFile(t, "/proc/sys/net/ipv6/conf/eth0/accept_dad", "0")
	IP(t, "addr", "add", "10.99.0.1/24", "dev", "eth0")
	IP(t, "link", "set", "eth0", "up")
	eventually.Succeeds(t, 20*time.Second, func(ctx context.Context) error { // IPv6 takes a moment
		out, err := exec.CommandContext(ctx, "ip", "-6", "addr", "show", "dev", "eth0", "scope", "link").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "fe80::") || strings.Contains(string(out), "tentative") {
			return fmt.Errorf("no address of the link on eth0: %s %v", out, err)
		}
		return nil
	})
	return s
}

// In runs f in the street, and waits for it.
func (s *Street) In(f func()) {
	done := make(chan struct{})
	s.work <- func() { defer close(done); f() }
	<-done
}

// IP runs ip(8) in the network of the thread that calls it.
func IP(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

// Outside runs f, and the programs that it starts, in the machine's network: where
// what tests need can be fetched.
func Outside(t testing.TB, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // after it is back; else the thread ends with the goroutine
	enter := func(path string) {
		t.Helper()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err != nil {
			t.Fatalf("enter the network %s: %v", path, err)
		}
	}
	defer enter(fmt.Sprintf("/proc/%d/ns/net", os.Getpid()))
	enter(fmt.Sprintf("/proc/%d/ns/net", os.Getppid()))
	f()
}
