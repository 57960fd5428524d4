package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/test/vm/wire"
)

// Options say what is in a guest.
type Options struct {
	// Programs are folders of this repository with programs, such as
	// "cmd/akri-discovery". They are in the guest's /bin.
	Programs []string
	// Modules are those of the kernel that are loaded at the start, with parameters:
	// "vivid n_devs=1". Those that they need come with them.
	Modules []string
	// Available are others, for "/init load".
	Available []string
	// Folders are made, and Files put there: files of this machine, by their paths in
	// the guest.
	Folders []string
	Files   map[string]string
	// Outside lets it reach this machine's loopback, at [Host], and the network.
	Outside bool
	// MemoryMiB is how much memory it has; 512 if 0.
	MemoryMiB int
	// Life is how long it may run; 10 minutes if 0.
	Life time.Duration
}

// Host is the address of this machine for a guest that may reach it.
const Host = "10.0.2.2"

const (
	// bootTimeout is ample: it takes 5 s on an idle machine.
	bootTimeout = 3 * time.Minute
	stopTimeout = 10 * time.Second
	// monitorTimeout is how long QEMU may take for a command.
	monitorTimeout = time.Minute
)

// Guest is a machine that runs.
type Guest struct {
	t       testing.TB
	qmp     *qmp
	address string // where its first process answers, on this machine
	console *console
	qemu    *exec.Cmd
	ended   chan struct{} // closed when QEMU has ended
	said    bytes.Buffer  // by QEMU itself; read it when that has ended

	commands atomic.Uint64   // that were run
	lines    map[string]bool // ids of the serial adapters that are plugged in
}

// Start starts a guest, and returns when its first process answers. It ends with
// the test.
func Start(t testing.TB, o Options) *Guest {
	t.Helper()
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 512
	}
	if o.Life == 0 {
		o.Life = 10 * time.Minute
	}
	k := fetch(t)
	o.Modules = append([]string{"virtio_pci", "virtio_net", "xhci_pci"}, o.Modules...)
	image := makeImage(t, k, o)
	restrict := "on" // it reaches nothing, and only its port is reached
	if o.Outside {
		restrict = "off"
	}
	dir := t.TempDir()
	monitor := filepath.Join(dir, "qmp")
	g := &Guest{t: t, console: newConsole(), ended: make(chan struct{}), lines: map[string]bool{}}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), o.Life)
	g.qemu = exec.CommandContext(ctx, qemuProgram,
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg", "-cpu", "qemu64,+rdrand", "-no-reboot",
		"-m", strconv.Itoa(o.MemoryMiB), "-kernel", k.image, "-initrd", image, "-append", "console=ttyS0 panic=-1",
		"-serial", "stdio", "-qmp", "unix:"+monitor+",server=on,wait=off", "-device", "qemu-xhci,id=usb,p2=8,p3=8",
		"-netdev", fmt.Sprintf("user,id=net,restrict=%s,hostfwd=tcp:127.0.0.1:0-%s:%d", restrict, wire.Address, wire.Port),
		"-device", "virtio-net-pci,netdev=net,romfile=")
	g.qemu.Stdout, g.qemu.Stderr = g.console, &g.said
	g.qemu.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := g.qemu.Start(); err != nil {
		cancel()
		t.Fatalf("start a guest: %v", err)
	}
	go func() {
		defer close(g.ended)
		_ = g.qemu.Wait() // that it has ended is said where somebody needs it
	}()
	t.Cleanup(func() {
		defer cancel()
		g.stop()
	})
	g.connect(monitor)
	g.await()
	return g
}

// connect connects to QEMU's monitor, and asks where the guest can be reached.
func (g *Guest) connect(monitor string) {
	g.t.Helper()
	var conn net.Conn
	eventually.Succeeds(g.t, bootTimeout, func(ctx context.Context) (err error) {
		select {
		case <-g.ended:
			g.t.Fatalf("QEMU has ended: %s", g.said.String())
		default:
		}
		conn, err = new(net.Dialer).DialContext(ctx, "unix", monitor)
		return err
	})
	ctx, cancel := context.WithTimeout(g.t.Context(), monitorTimeout)
	defer cancel()
	var err error
	if g.qmp, err = newQMP(ctx, conn); err != nil {
		g.t.Fatal(errors.Join(err, conn.Close()))
	}
	var info string
	if err := g.qmp.Execute(ctx, "human-monitor-command", map[string]string{"command-line": "info usernet"}, &info); err != nil {
		g.t.Fatal(err)
	}
	port, err := forwardedPort(info)
	if err != nil {
		g.t.Fatal(err)
	}
	g.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// forwardedPort finds the port of this machine that leads to the guest, in what
// QEMU says of its network.
func forwardedPort(info string) (int, error) {
	for line := range strings.Lines(info) {
		// TCP[HOST_FORWARD]  12  127.0.0.1 36541  10.0.2.15  1000  0  0
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "TCP[HOST_FORWARD]" || f[4] != wire.Address || f[5] != strconv.Itoa(wire.Port) {
			continue
		}
		if port, err := strconv.Atoi(f[3]); err == nil && port > 0 {
			return port, nil
		}
	}
	return 0, fmt.Errorf("QEMU forwards no port to the guest: %q", info)
}

// await waits until the guest's first process answers.
func (g *Guest) await() {
	g.t.Helper()
	began := time.Now()
	timer := time.NewTimer(bootTimeout)
	defer timer.Stop()
	select {
	case <-g.console.ready:
		if why := g.console.failure(); why != "" {
			g.t.Fatalf("the guest cannot start: %s", why)
		}
		eventually.Tell(g.t, began, "the guest starts")
	case <-g.ended:
		g.t.Fatalf("the guest has ended: %s", g.said.String())
	case <-timer.C:
		g.t.Fatalf("after %v the guest does not answer", bootTimeout)
	}
}

// stop ends QEMU.
func (g *Guest) stop() {
	if g.qmp != nil {
		_ = g.qmp.Quit(stopTimeout) // else it is killed
	}
	timer := time.AfterFunc(stopTimeout, func() { _ = g.qemu.Process.Kill() })
	defer timer.Stop()
	if g.qmp == nil {
		_ = g.qemu.Process.Kill()
	}
	<-g.ended
	if !g.t.Failed() {
		return
	}
	file, err := keep(g.t.Name(), g.console.text.String())
	if err != nil {
		g.t.Logf("the guest's console cannot be kept: %v", err)
		return
	}
	g.t.Logf("the guest's console is in %s", file)
}

// console keeps what a guest writes on its console.
type console struct {
	text  testlog.Buffer
	ready chan struct{} // closed when it is known whether the guest has started

	mu   sync.Mutex
	line []byte // that is not complete
	once bool
	why  string
}

func newConsole() *console { return &console{ready: make(chan struct{})} }

// maxConsoleLine is how much of a line is looked at.
const maxConsoleLine = 4096

// Write takes a part of what the guest writes.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			if len(c.line) < maxConsoleLine {
				c.line = append(c.line, b)
			}
			continue
		}
		c.look(strings.TrimSpace(string(c.line)))
		c.line = c.line[:0]
	}
	return c.text.Write(p)
}

func (c *console) look(line string) {
	_, why, failed := strings.Cut(line, wire.FailedPrefix)
	if c.once || !failed && !strings.Contains(line, wire.ReadyLine) {
		return
	}
	c.once, c.why = true, why
	close(c.ready)
}

// failure says why the guest could not start.
func (c *console) failure() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}
