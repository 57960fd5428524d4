//go:build integration

package udev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/udev/uevent"
)

// reports collects what Discover reports.
type reports struct {
	tb     testing.TB
	ch     chan []discovery.Device
	cancel context.CancelFunc
	done   chan error
}

func discover(tb testing.TB, h *Handler, req discovery.Request) *reports {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &reports{tb: tb, ch: make(chan []discovery.Device, 10000), cancel: cancel, done: make(chan error, 1)}
	go func() {
		r.done <- h.Discover(ctx, req, func(d []discovery.Device) error {
			r.ch <- d
			return nil
		})
	}()
	tb.Cleanup(r.stop)
	return r
}

func (r *reports) stop() {
	r.cancel()
	if err := <-r.done; !errors.Is(err, context.Canceled) {
		r.tb.Errorf("Discover returned %v", err)
	}
	r.done <- context.Canceled
}

// until waits for a report that fulfils ok.
func (r *reports) until(what string, ok func([]discovery.Device) bool) []discovery.Device {
	r.tb.Helper()
	var last []discovery.Device
	timeout := time.After(eventually.Patience)
	for {
		select {
		case last = <-r.ch:
			if ok(last) {
				return last
			}
		case err := <-r.done:
			r.done <- err
			r.tb.Fatalf("%s: Discover returned %v", what, err)
		case <-timeout:
			r.tb.Fatalf("%s: not reported; last %v", what, last)
		}
	}
}

func rules(rs ...string) discovery.Request {
	var b strings.Builder
	b.WriteString("udevRules:\n")
	for _, r := range rs {
		fmt.Fprintf(&b, "- '%s'\n", strings.ReplaceAll(r, "'", "''"))
	}
	return discovery.Request{Details: b.String()}
}

// plug adds a zram device and returns its number.
func plug(tb testing.TB) string {
	tb.Helper()
	b, err := os.ReadFile("/sys/class/zram-control/hot_add")
	if err != nil {
		tb.Skipf("cannot add a zram device (needs root and the zram driver): %v", err)
	}
	return strings.TrimSpace(string(b))
}

func unplug(tb testing.TB, n string) {
	tb.Helper()
	if err := os.WriteFile("/sys/class/zram-control/hot_remove", []byte(n), 0); err != nil {
		tb.Errorf("remove zram%s: %v", n, err)
	}
}

func has(devices []discovery.Device, id string) bool {
	for _, d := range devices {
		if d.ID == id {
			return true
		}
	}
	return false
}

func TestHotplug(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := New(Options{})
	r := discover(t, h, rules(`SUBSYSTEM=="block", KERNEL=="zram*"`))
	defer r.stop()
	r.until("first report", func([]discovery.Device) bool { return true })
	n := plug(t)
	id, node := "/devices/virtual/block/zram"+n, "/dev/zram"+n
	got := r.until("plug", func(ds []discovery.Device) bool {
		if !has(ds, id) {
			return false
		}
		// The node must be there by now.
		if _, err := os.Stat(node); err != nil {
			t.Errorf("reported before its node: %v", err)
		}
		return true
	})
	for _, d := range got {
		if d.ID == id && (d.Properties["UDEV_DEVPATH"] != id || d.Properties["UDEV_DEVNODE"] != node || len(d.DeviceSpecs) != 1 ||
			d.DeviceSpecs[0] != discovery.DeviceSpec{ContainerPath: node, HostPath: node, Permissions: "rwm"}) {
			t.Errorf("got %+v", d)
		}
	}
	unplug(t, n)
	r.until("unplug", func(ds []discovery.Device) bool { return !has(ds, id) })
}

// A disk that the node starts to swap on goes, and comes back.
func TestSwappedOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	r := discover(t, New(Options{}), rules(`SUBSYSTEM=="block", KERNEL=="zram*"`))
	defer r.stop()
	r.until("first report", func([]discovery.Device) bool { return true })
	n := plug(t)
	id, node := "/devices/virtual/block/zram"+n, "/dev/zram"+n
	r.until("plug", func(ds []discovery.Device) bool { return has(ds, id) })
	if err := os.WriteFile("/sys/block/zram"+n+"/disksize", []byte("16M"), 0); err != nil {
		t.Fatal(err)
	}
	run := func(name string) {
		t.Helper()
		if out, err := exec.Command(name, node).CombinedOutput(); err != nil {
			unplug(t, n)
			t.Skipf("%s: %v: %s", name, err, out)
		}
	}
	run("mkswap")
	run("swapon")
	on := true
	defer func() {
		if on {
			_ = exec.Command("swapoff", node).Run()
		}
		unplug(t, n)
	}()
	r.until("swapon", func(ds []discovery.Device) bool { return !has(ds, id) })
	run("swapoff")
	on = false
	r.until("swapoff", func(ds []discovery.Device) bool { return has(ds, id) })
}

func TestMachine(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := New(Options{})
	for _, rule := range []string{
		`KERNEL=="null"`,
		`SUBSYSTEM=="mem", ATTR{dev}=="1:3"`,
		`ENV{MAJOR}=="1", ENV{MINOR}=="3", SUBSYSTEM!="block"`,
		`DEVPATH=="/devices/virtual/mem/null"`,
	} {
		r := discover(t, h, rules(rule))
		got := r.until(rule, func([]discovery.Device) bool { return true })
		if len(got) != 1 || got[0].ID != "/devices/virtual/mem/null" || got[0].Properties["UDEV_DEVNODE"] != "/dev/null" {
			t.Errorf("%s: %v", rule, got)
		}
		r.stop()
	}
	if entries, _ := os.ReadDir("/sys/bus/pci/devices"); len(entries) > 0 {
		r := discover(t, h, rules(`SUBSYSTEM=="pci"`))
		if got := r.until("pci", func([]discovery.Device) bool { return true }); len(got) != len(entries) {
			t.Errorf("%d PCI devices, sysfs has %d", len(got), len(entries))
		}
		r.stop()
	}
}

// Many more events than fit into the smallest socket buffer: afterwards the
// report is right all the same.
func TestKernelOverflow(t *testing.T) {
	defer goleak.VerifyNone(t)
	lost := make(chan struct{}, 1000)
	h := New(Options{Log: slog.New(slog.DiscardHandler), Listen: func() (Events, error) {
		c, err := uevent.Listen(1)
		return noting{c, lost}, err
	}})
	r := discover(t, h, rules(`KERNEL=="zram*"`))
	defer r.stop()
	r.until("first report", func([]discovery.Device) bool { return true })
	for i := 0; ; i++ {
		if i == 100_000 {
			t.Fatal("no overflow")
		}
		if err := os.WriteFile("/sys/class/mem/null/uevent", []byte("change"), 0); err != nil {
			t.Skipf("no synthetic events: %v", err)
		}
		if len(lost) > 0 {
			break
		}
	}
	n := plug(t)
	defer unplug(t, n)
	r.until("plug", func(ds []discovery.Device) bool { return has(ds, "/devices/virtual/block/zram"+n) })
}

// noting notes overflows.
type noting struct {
	*uevent.Conn
	lost chan struct{}
}

func (n noting) Next() (uevent.Event, error) {
	e, err := n.Conn.Next()
	if errors.Is(err, uevent.ErrOverflow) {
		n.lost <- struct{}{}
	}
	return e, err
}

// BenchmarkPlug measures from before the kernel makes a device until it is
// reported, and kernel-us/op how much of that the kernel itself takes.
func BenchmarkPlug(b *testing.B) {
	h := New(Options{})
	r := discover(b, h, rules(`KERNEL=="zram*"`))
	defer r.stop()
	r.until("first report", func([]discovery.Device) bool { return true })
	var kernel time.Duration
	for b.Loop() {
		start := time.Now()
		n := plug(b)
		kernel += time.Since(start)
		id := "/devices/virtual/block/zram" + n
		r.until("plug", func(ds []discovery.Device) bool { return has(ds, id) })
		b.StopTimer()
		unplug(b, n)
		r.until("unplug", func(ds []discovery.Device) bool { return !has(ds, id) })
		b.StartTimer()
	}
	b.ReportMetric(float64(kernel.Microseconds())/float64(b.N), "kernel-us/op")
}

// BenchmarkStart measures a request to an idle handler until its first report:
// all devices of this machine are listed and looked at.
func BenchmarkStart(b *testing.B) {
	for _, rule := range []string{`KERNEL=="null"`, `SUBSYSTEMS=="pci", ATTRS{vendor}=="0x*"`, `ENV{MAJOR}=="?*"`} {
		b.Run(rule, func(b *testing.B) {
			h := New(Options{})
			for b.Loop() {
				r := discover(b, h, rules(rule))
				r.until("first report", func([]discovery.Device) bool { return true })
				r.stop()
			}
		})
	}
}
