//go:build integration

package mdns_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/peers"
)

// TestMain runs the tests in a network namespace of their own: the node's.
func TestMain(m *testing.M) { multicasttest.Main(m) }

// avahi is a real avahi-daemon, with a D-Bus of its own for avahi-publish.
type avahi struct {
	t      testing.TB
	in     func(func()) // runs a function in the daemon's network
	dir    string       // of Debian's files
	env    []string
	daemon *exec.Cmd
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%[1]s/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy>
</busconfig>`

// daemonConfig has one host; the node's clocks of the tests are too fast for the
// limits on how often is sent.
const daemonConfig = `[server]
host-name=%s
allow-interfaces=%s
use-ipv4=%s
use-ipv6=%s
ratelimit-interval-usec=1000000
ratelimit-burst=10000
[publish]
publish-hinfo=no
publish-workstation=no
`

// startAvahi starts an avahi-daemon whose host has a name, on an interface of a
// network. In a mount namespace it has a /run of its own, since it is meant to be
// the only one on a machine, and the user that its package would have made.
func startAvahi(t testing.TB, in func(func()), host, device, four, six string) *avahi {
	t.Helper()
	var dir string
	multicasttest.Outside(t, func() {
		peers.Install(t, "libdbus-1-3", "libexpat1", "libapparmor1", "libaudit1", "libcap-ng0")
		dir = peers.Unpack(t, "avahi-daemon", "avahi-utils", "libavahi-core7", "libavahi-common3", "libavahi-common-data", "libavahi-client3",
			"libdaemon0", "dbus-daemon")
	})
	work, err := os.MkdirTemp("", "akri") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	write := func(name, text string) string {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := &avahi{t: t, in: in, dir: dir}
	libraries, err := filepath.Glob(filepath.Join(dir, "usr/lib/*-linux-gnu*"))
	if err != nil || len(libraries) == 0 {
		t.Fatalf("no libraries in %s: %v", dir, err)
	}
	a.env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries[0], "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+work+"/bus")
	a.start("usr/bin/dbus-daemon", "--nofork", "--nopidfile", "--config-file="+write("bus.conf", fmt.Sprintf(busConfig, work)))
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		_, err := os.Stat(work + "/bus")
		return err
	})
	config := write("avahi.conf", fmt.Sprintf(daemonConfig, host, device, four, six))
	users, groups := write("passwd", "root:x:0:0::/:/bin/sh\navahi:x:65533:65533::/:/bin/false\n"), write("group", "root:x:0:\navahi:x:65533:\n")
	a.daemon = a.startWith([]string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /run && mount --bind "$1" /etc/passwd &&
		mount --bind "$2" /etc/group && shift 2 && exec "$@"`, "sh", users, groups},
		"usr/sbin/avahi-daemon", "--file="+config, "--no-drop-root", "--no-chroot", "--no-rlimits")
	return a
}

func (a *avahi) start(program string, args ...string) *exec.Cmd {
	return a.startWith(nil, program, args...)
}

// startWith starts a program by another, until the end of the test.
func (a *avahi) startWith(by []string, program string, args ...string) *exec.Cmd {
	a.t.Helper()
	line := append(append(append([]string{}, by...), filepath.Join(a.dir, program)), args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = a.env
	cmd.Stdout, cmd.Stderr = a.t.Output(), a.t.Output()
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	a.in(func() {
		if err := cmd.Start(); err != nil {
			a.t.Error(err)
		}
	})
	if a.t.Failed() {
		a.t.FailNow()
	}
	a.t.Cleanup(func() { stop(cmd, syscall.SIGTERM) })
	return cmd
}

// stop ends a program, unless it has been.
func stop(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Signal(s)
		_ = cmd.Wait()
	}
}

// publish announces a service with avahi-publish. Stopped, it says good-bye.
func (a *avahi) publish(args ...string) *exec.Cmd {
	a.t.Helper()
	cmd := a.start("usr/bin/avahi-publish", append([]string{"--service"}, args...)...)
	return cmd
}

// ready waits until avahi-publish can be used.
func (a *avahi) ready() {
	a.t.Helper()
	eventually.Succeeds(a.t, eventually.Patience, func(ctx context.Context) error {
		if out, err := a.browse(ctx, "_none._tcp"); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(out))
		}
		return nil
	})
}

// during returns the same for a test in this one, with which its programs end.
func (a *avahi) during(t testing.TB) *avahi {
	b := *a
	b.t = t
	return &b
}

// browse returns what avahi-browse finds of a type.
func (a *avahi) browse(ctx context.Context, kind string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(a.dir, "usr/bin/avahi-browse"), "--terminate", "--parsable", kind)
	cmd.Env = a.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// askAlone asks the port of one machine, not all, for its services' types.
func askAlone(address string) error {
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	q := dnsmsg.Queries([]dnsmsg.Question{{Name: dnsmsg.MustName("_ipp", "_tcp", "local"), Type: dnsmsg.TypePTR}}, 1440)
	if _, err := conn.Write(q[0]); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	answer := make([]byte, 9000)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if _, err := dnsmsg.Parse(answer[:n]); err != nil {
		return err
	}
	return nil
}
