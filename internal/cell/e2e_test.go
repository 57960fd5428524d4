//go:build e2e

package cell_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/cell/celltest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/poll"
)

// The test's own program is also what runs in the cells, by other names.
const (
	holder = "holder"
	echo   = "echo"
)

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case holder:
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
	case echo:
		fmt.Println(serveEcho())
		os.Exit(1)
	default:
		os.Exit(m.Run())
	}
}

// serveEcho answers each line with the cell's name and the line.
func serveEcho() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", ":7")
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintln(conn, name, lines.Text())
			}
		}()
	}
}

// newLab makes a lab of a hub and two members that all run echo.
func newLab(t *testing.T) cell.Lab {
	t.Helper()
	dir, err := cell.Folder(filepath.Join(t.TempDir(), "lab"))
	if err != nil {
		t.Fatal(err)
	}
	index, err := cell.Reserve(t.Context(), dir, -1)
	if err != nil {
		t.Fatal(err)
	}
	lab := cell.Lab{
		Dir: dir, Network: cell.Network{Index: index}, Hub: "cloud", Members: []string{"shop", "farm"}, BinDir: t.TempDir(),
		Settings: []cell.Setting{
			{Name: "net/ipv4/tcp_syn_retries", Value: "2"},
			{Name: "vm/panic_on_oom", Value: "2", Pretend: true},
		},
	}
	t.Cleanup(func() { // after a failure; else it has nothing to do
		ctx := context.Background()
		if err := errors.Join(lab.Kill(ctx), lab.Remove(ctx), cell.Release(ctx, index)); err != nil {
			t.Error(err)
		}
	})
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{holder, echo} {
		if err := atomicfile.Write(filepath.Join(lab.BinDir, name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lab.Holder = filepath.Join(lab.BinDir, holder)
	if fresh, err := lab.Create(t.Context()); err != nil || !fresh {
		t.Fatalf("create: made %v, %v", fresh, err)
	}
	for _, c := range lab.Cells() {
		startEcho(t, lab, c.Name)
	}
	return lab
}

// inherit opens a file as if this process had inherited it.
func inherit(t *testing.T) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "inherited")
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT, 0o600) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

func startEcho(t *testing.T, lab cell.Lab, name string) {
	t.Helper()
	if started, err := lab.Cell(name).Start(t.Context(), echo, filepath.Join(lab.BinDir, echo)); err != nil || !started {
		t.Fatalf("start echo in %s: started %v, %v", name, started, err)
	}
}

func TestLab(t *testing.T) {
	inherited := inherit(t)
	ctx, lab := t.Context(), newLab(t)
	n := lab.Network
	remains := celltest.Remains(t, lab)

	t.Run("what outlives this process has none of its inherited files", func(t *testing.T) {
		if _, err := inherited.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		for _, c := range lab.Cells() {
			holder, err := c.Holder()
			if err != nil {
				t.Fatal(err)
			}
			program, err := c.Process(echo)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []cell.Process{holder, program} {
				files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID))
				if err != nil || len(files) < 3 {
					t.Fatalf("files of %+v: %v, %v", p, files, err)
				}
				for _, f := range files {
					if to, err := os.Readlink(f); err == nil && to == inherited.Name() {
						t.Errorf("process %d of %s has it as %s", p.PID, c.Name, f)
					}
				}
			}
		}
	})
	t.Run("the machine reaches every cell", func(t *testing.T) {
		wantEcho(t, n.Hub(), "cloud")
		wantEcho(t, n.Member(1), "shop")
		wantEcho(t, n.Member(2), "farm")
	})
	t.Run("made again it stays", func(t *testing.T) {
		before := holders(t, lab)
		if fresh, err := lab.Create(ctx); err != nil || fresh {
			t.Errorf("made the hub: %v, %v", fresh, err)
		}
		if after := holders(t, lab); after != before {
			t.Errorf("holders before %s, after %s", before, after)
		}
		if started, err := lab.Cell("shop").Start(ctx, echo, filepath.Join(lab.BinDir, echo)); err != nil || started {
			t.Errorf("started a program that runs: %v, %v", started, err)
		}
	})
	t.Run("settings", func(t *testing.T) {
		machine, err := os.ReadFile("/proc/sys/vm/panic_on_oom")
		if err != nil {
			t.Fatal(err)
		}
		got := run(t, lab, "shop", "cat", "/proc/sys/net/ipv4/tcp_syn_retries", "/proc/sys/vm/panic_on_oom")
		if got != "2\n2\n" || string(machine) == "2\n" {
			t.Errorf("in the cell %q, on the machine %q", got, machine)
		}
	})
	t.Run("a connection outlives a cut link", func(t *testing.T) {
		conn := dial(t, n.Member(2))
		defer conn.Close()
		if err := lab.Cut(ctx, "farm"); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(conn, "late")
		conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if line, err := bufio.NewReader(conn).ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through a cut link came %q, %v", line, err)
		}
		wantEcho(t, n.Member(1), "shop")
		if err := lab.Mend(ctx, "farm"); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(eventually.Patience))
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "farm late\n" {
			t.Errorf("through a mended link came %q, %v", line, err)
		}
	})
	t.Run("a member that lost its power comes back with its disk", func(t *testing.T) {
		run(t, lab, "farm", "touch", "/var/lib/kept", "/run/lost")
		before, err := lab.Cell("farm").Process(echo)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // stopped twice is stopped
			if err := lab.Stop(ctx, "farm"); err != nil {
				t.Fatal(err)
			}
		}
		if before.Alive() {
			t.Error("its program runs on")
		}
		if _, err := lab.Cell("farm").Command(ctx, "true"); !errors.Is(err, cell.ErrNotRunning) {
			t.Errorf("a command in it: %v", err)
		}
		if err := lab.Start(ctx, "farm"); err != nil {
			t.Fatal(err)
		}
		if got := run(t, lab, "farm", "sh", "-c", "ls -d /var/lib/kept /run/lost 2>/dev/null || true"); got != "/var/lib/kept\n" {
			t.Errorf("it has %q", got)
		}
		startEcho(t, lab, "farm")
		wantEcho(t, n.Member(2), "farm")
	})
	t.Run("a cut link stays cut when the power goes and comes", func(t *testing.T) {
		for _, change := range []func(context.Context, string) error{lab.Stop, lab.Cut, lab.Start} {
			if err := change(ctx, "farm"); err != nil {
				t.Fatal(err)
			}
		}
		startEcho(t, lab, "farm")
		if conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(n.Member(2), 7).String(), 500*time.Millisecond); err == nil {
			conn.Close()
			t.Error("a connection through a cut link")
		}
		if err := lab.Mend(ctx, "farm"); err != nil {
			t.Fatal(err)
		}
		wantEcho(t, n.Member(2), "farm")
	})
	t.Run("what was interrupted is made again", func(t *testing.T) {
		for what, cut := range map[string][][]string{
			"a member's link": {{"-n", n.NetNS("shop"), "addr", "flush", "dev", cell.MemberLink}},
			"the hub's link":  {{"link", "set", n.Interface(), "down"}, {"addr", "flush", "dev", n.Interface()}},
		} {
			if err := cell.RunIP(ctx, cut...); err != nil {
				t.Fatal(err)
			}
			if _, err := lab.Create(ctx); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for i, name := range lab.Members {
				wantEcho(t, n.Member(i+1), name)
			}
		}
	})
	t.Run("who is no member", func(t *testing.T) {
		for what, do := range map[string]func(context.Context, string) error{"start": lab.Start, "stop": lab.Stop, "cut": lab.Cut} {
			if err := do(ctx, "barn"); err == nil || !strings.Contains(err.Error(), "barn") {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("nothing is left", func(t *testing.T) {
		// As a program that knows folder and index alone.
		known := cell.Lab{Dir: lab.Dir, Network: n}
		if err := errors.Join(known.Kill(ctx), known.Remove(ctx), cell.Release(ctx, n.Index), os.RemoveAll(lab.Dir)); err != nil {
			t.Fatal(err)
		}
		remains()
	})
}

func holders(t *testing.T, lab cell.Lab) string {
	t.Helper()
	var b strings.Builder
	for _, c := range lab.Cells() {
		h, err := c.Holder()
		if err != nil || !h.Alive() {
			t.Errorf("%s does not run: %v", c.Name, err)
		}
		fmt.Fprint(&b, c.Name, " ", h.PID, " ")
	}
	return b.String()
}

func run(t *testing.T, lab cell.Lab, name string, argv ...string) string {
	t.Helper()
	cmd, err := lab.Cell(name).Command(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v in %s: %v", argv, name, err)
	}
	return string(out)
}

// dial connects to a cell's echo, which may be just starting.
func dial(t *testing.T, addr netip.Addr) (conn net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	err := poll.Until(ctx, "echo listens at "+addr.String(), 20*time.Millisecond, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(addr, 7).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func wantEcho(t *testing.T, addr netip.Addr, name string) {
	t.Helper()
	conn := dial(t, addr)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(eventually.Patience))
	fmt.Fprintln(conn, "hello")
	if line, err := bufio.NewReader(io.LimitReader(conn, 100)).ReadString('\n'); err != nil || line != name+" hello\n" {
		t.Errorf("%s says %q, %v", addr, line, err)
	}
}
