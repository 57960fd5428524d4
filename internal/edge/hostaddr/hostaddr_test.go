package hostaddr

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// isolated runs f with a network of its own, in which the loopback is up.
func isolated(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends, and the namespace with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
			return
		}
		f()
	}()
	switch err := <-done; {
	case errors.Is(err, unix.EPERM):
		t.Skip("this process may not make network namespaces")
	case err != nil:
		t.Fatal(err)
	}
}

func TestEnsure(t *testing.T) {
	isolated(t, func() {
		for _, text := range []string{"169.254.30.10", "fd00:a::10", "127.0.0.1"} {
			addr := netip.MustParseAddr(text)
			for range 2 {
				if err := Ensure(addr); err != nil {
					t.Errorf("%s: %v", addr, err)
				}
			}
			l, err := net.Listen("tcp", net.JoinHostPort(text, "0"))
			if err != nil {
				t.Errorf("%s: %v", addr, err)
				continue
			}
			l.Close()
		}
		out, err := exec.Command("ip", "-o", "addr", "show", "dev", "lo").CombinedOutput()
		if err != nil || strings.Count(string(out), "169.254.30.10/32") != 1 || !strings.Contains(string(out), "fd00:a::10/128") {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestAnswer(t *testing.T) {
	for _, b := range [][]byte{nil, {1, 2, 3}, make([]byte, unix.NLMSG_HDRLEN)} {
		if err := answer(b); err == nil {
			t.Errorf("%v is taken for an acknowledgement", b)
		}
	}
	if err := add(1<<30, netip.MustParseAddr("169.254.30.10")); err == nil {
		t.Error("an interface that does not exist has an address")
	}
}
