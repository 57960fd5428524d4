package udev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/handlers/udev/uevent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cam = "/devices/host/usb1/1-2"

// plugCamera adds a USB camera: the device, its interface, two nodes of it and
// one device without a node.
func (m *fixture) plugCamera() {
	m.add(cam, "usb", "MAJOR=189", "MINOR=4", "DEVNAME=bus/usb/001/005")
	m.write(m.sys+cam+"/idVendor", "046d\n")
	m.add(cam+"/1-2:1.0", "usb")
	m.add(cam+"/1-2:1.0/video4linux/video0", "video4linux", "MAJOR=81", "MINOR=0", "DEVNAME=video0")
	m.add(cam+"/1-2:1.0/video4linux/video1", "video4linux", "MAJOR=81", "MINOR=1", "DEVNAME=video1")
	m.add(cam+"/1-2:1.0/leds/led0", "leds")
}

func TestDiscover(t *testing.T) {
	m := newFixture(t)
	a := m.ask(`SUBSYSTEM=="video4linux", ATTRS{idVendor}=="046d"`)
	a.want() // empty, but sent
	m.plugCamera()
	m.uevent("add", cam)
	m.uevent("add", cam+"/1-2:1.0/video4linux/video1")
	a.want(cam + "/1-2:1.0/video4linux/video1")
	m.uevent("add", cam+"/1-2:1.0/video4linux/video0")
	got := a.want(cam+"/1-2:1.0/video4linux/video0", cam+"/1-2:1.0/video4linux/video1")
	if p := got[0].Properties; p["UDEV_DEVNODE"] != "/dev/video0" || p["UDEV_DEVPATH"] != got[0].ID || len(p) != 2 {
		t.Errorf("properties %v", p)
	}
	m.uevent("remove", cam+"/1-2:1.0/video4linux/video0")
	a.want(cam + "/1-2:1.0/video4linux/video1")

	// A device goes with what was below it.
	m.uevent("remove", cam+"/1-2:1.0/video4linux")
	a.want()
}

func TestClimb(t *testing.T) {
	m := newFixture(t)
	m.plugCamera()
	m.add("/devices/virtual/leds/led9", "leds")
	a := m.ask(`SUBSYSTEM=="leds"`, `KERNEL=="1-2:1.0"`)
	got := a.want(cam, "/devices/virtual/leds/led9")
	if got[0].Properties["UDEV_DEVNODE"] != "/dev/bus/usb/001/005" || len(got[1].DeviceSpecs) != 0 || len(got[1].Properties) != 1 {
		t.Errorf("got %+v", got)
	}
	// Two devices have led to one; one is enough to keep it.
	m.uevent("remove", cam+"/1-2:1.0/leds/led0")
	m.uevent("remove", "/devices/virtual/leds/led9")
	a.want(cam)

	// The camera gets another number on its bus.
	m.write(m.sys+cam+"/uevent", "MAJOR=189\nMINOR=5\nDEVNAME=bus/usb/001/006\n")
	m.uevent("change", cam)
	if got := a.want(cam); got[0].Properties["UDEV_DEVNODE"] != "/dev/bus/usb/001/006" {
		t.Errorf("got %+v", got)
	}
}

func TestGroup(t *testing.T) {
	m := newFixture(t)
	m.plugCamera()
	a := m.askDetails("udevRules: ['KERNELS==\"1-2\"']\ngroupRecursive: true\npermissions: rw")
	got := a.want(cam)[0]
	if fmt.Sprint(got.Properties) != "map[UDEV_DEVNODE_0:/dev/bus/usb/001/005 UDEV_DEVNODE_1:/dev/video0 UDEV_DEVNODE_2:/dev/video1 UDEV_DEVPATH:"+cam+"]" || len(got.DeviceSpecs) != 3 || got.DeviceSpecs[2].Permissions != "rw" {
		t.Errorf("got %+v", got)
	}
}

// What happens to an ancestor is looked at on its descendants.
func TestAncestorChanges(t *testing.T) {
	m := newFixture(t)
	m.plugCamera()
	a := m.ask(`KERNEL=="video0", DRIVERS=="uvcvideo"`)
	a.want()
	m.link(m.sys+cam+"/1-2:1.0/driver", m.sys+"/bus/usb/drivers/uvcvideo")
	m.uevent("bind", cam+"/1-2:1.0")
	a.want(cam + "/1-2:1.0/video4linux/video0")
	m.must(os.Remove(m.sys + cam + "/1-2:1.0/driver"))
	m.uevent("unbind", cam+"/1-2:1.0")
	a.want()
}

func TestEventsOfOthers(t *testing.T) {
	m := newFixture(t)
	m.plugCamera()
	a := m.ask(`KERNEL=="*"`)
	all := []string{cam, cam + "/1-2:1.0/video4linux/video0", cam + "/1-2:1.0/video4linux/video1"}
	a.want(all...)
	m.uevent("add", "/module/zram")                                        // not a device
	m.uevent("add", cam+"/nowhere")                                        // gone again
	m.write(m.sys+cam+"/queues/rx-0/uevent", "")                           // no device: no subsystem
	m.uevent("add", cam+"/queues/rx-0")                                    //
	m.event(uevent.Event{Action: "remove", Devpath: cam, Synthetic: true}) // a program's, not the kernel's
	m.uevent("remove", "/devices/never/there")                             //
	m.add("/devices/last", "x")
	m.uevent("add", "/devices/last")
	// The next report has nothing of that but the last.
	if ds := <-a.ch; len(ds) != 4 || ds[3].ID != "/devices/last" {
		t.Errorf("got %v", ds)
	}
}

func TestOverflow(t *testing.T) {
	m := newFixture(t)
	m.plugCamera()
	a, b := m.ask(`KERNEL=="video*"`), m.ask(`KERNEL=="x0"`)
	a.want(cam+"/1-2:1.0/video4linux/video0", cam+"/1-2:1.0/video4linux/video1")
	b.want()
	m.remove(cam+"/1-2:1.0/video4linux/video0", "video4linux")
	m.add("/devices/x0", "x")
	// The event after the loss is older than the rescan and must not undo it.
	m.event(lostBefore{Action: "remove", Devpath: "/devices/x0"})
	a.want(cam + "/1-2:1.0/video4linux/video1")
	b.want("/devices/x0")
}

// What the node lives on is left out and noted, unless the operator allows it.
func TestVital(t *testing.T) {
	m := newFixture(t)
	for i, name := range []string{"vda", "vdb", "vdc"} {
		m.add("/devices/host/block/"+name, "block", "MAJOR=254", fmt.Sprintf("MINOR=%d", 16*i), "DEVNAME="+name)
		m.link(fmt.Sprintf("%s/dev/block/254:%d", m.sys, 16*i), m.sys+"/devices/host/block/"+name)
	}
	m.add("/devices/virtual/mem/mem", "mem", "DEVNAME=mem")
	m.write(m.proc+"/node", "1 1 254:0 / / rw - ext4 /dev/vda rw\n")
	a := m.ask(`SUBSYSTEM=="block|mem"`)
	a.want("/devices/host/block/vdb", "/devices/host/block/vdc")
	const note = "left out, because the node itself needs it: /dev/vda (the node has it mounted at /), /dev/mem (it is the node's memory); the operator can allow it (udev.discovery.allowNodeDevices)"
	if a.note() != note {
		t.Errorf("noted %q", a.note())
	}

	// Another disk is made of vdb.
	m.link(m.sys+"/devices/host/block/vdb/holders/dm-0", m.sys+"/devices/virtual/block/dm-0")
	m.link(m.sys+"/devices/virtual/block/dm-0/slaves/vdb", m.sys+"/devices/host/block/vdb")
	m.add("/devices/virtual/block/dm-0", "block", "MAJOR=253", "MINOR=0", "DEVNAME=dm-0")
	m.uevent("change", "/devices/virtual/block/dm-0")
	a.want("/devices/host/block/vdc", "/devices/virtual/block/dm-0")

	var err error
	if m.h.options.Allow, err = ParseAllow([]string{"/dev/vd*", "/dev/mem"}); err != nil {
		t.Fatal(err)
	}
	b := m.ask(`SUBSYSTEM=="block|mem"`)
	b.want("/devices/host/block/vda", "/devices/host/block/vdb", "/devices/host/block/vdc", "/devices/virtual/block/dm-0", "/devices/virtual/mem/mem")
	if b.note() != "" {
		t.Errorf("noted %q", b.note())
	}
	for _, bad := range []string{"vda", "/dev/[", ""} {
		if _, err := ParseAllow([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestMove(t *testing.T) {
	m := newFixture(t)
	m.add("/devices/host/net/eth0", "net", "INTERFACE=eth0", "IFINDEX=2")
	a := m.ask(`SUBSYSTEM=="net"`)
	a.want("/devices/host/net/eth0")
	m.remove("/devices/host/net/eth0", "net")
	m.add("/devices/host/net/lan", "net", "INTERFACE=lan", "IFINDEX=2")
	m.event(uevent.Event{Action: "move", Devpath: "/devices/host/net/lan", Old: "/devices/host/net/eth0"})
	a.want("/devices/host/net/lan")
}

func TestRecords(t *testing.T) {
	for _, late := range []bool{false, true} {
		m := newFixture(t)
		m.must(os.MkdirAll(m.udev, 0o755))
		if !late { // else udevd starts after us
			m.must(os.Mkdir(m.udev+"/data", 0o755))
		}
		video0 := cam + "/1-2:1.0/video4linux/video0"
		m.plugCamera()
		m.remove(cam+"/1-2:1.0/video4linux/video1", "video4linux")
		a := m.ask(`SUBSYSTEM=="video4linux", ENV{ID_V4L_CAPABILITIES}=="*:capture:*"`)
		not := m.ask(`SUBSYSTEM=="video4linux", TAG!="hidden"`, `KERNEL=="1-2"`)
		parent := m.ask(`KERNEL=="video0", TAGS=="seat"`)
		a.want()
		parent.want()
		if late {
			not.want(cam, video0)
			m.must(os.Mkdir(m.udev+"/data", 0o755))
		}
		not.want(cam) // udevd has yet to say
		record := func(id, data string) {
			m.write(m.udev+"/data/.#"+id, data)
			m.must(os.Rename(m.udev+"/data/.#"+id, m.udev+"/data/"+id))
		}
		record("c81:0", "E:ID_V4L_CAPABILITIES=:capture:\nV:1\n")
		a.want(video0)
		not.want(cam, video0)
		record("c81:0", "E:ID_V4L_CAPABILITIES=:capture:\nG:hidden\nQ:hidden\nV:1\n")
		not.want(cam)
		record("c189:4", "Q:seat\nV:1\n")
		parent.want(video0)
		record("c81:0", "V:1\n")
		a.want()
		not.want(cam, video0)
	}
}

// Where nothing is recorded, what needs it says why it finds nothing.
func TestWithoutRecords(t *testing.T) {
	m := newFixture(t)
	m.plugCamera()
	a := m.ask(`SUBSYSTEM=="leds"`, `ENV{ID_BUS}=="usb"`)
	a.want(cam)
	const note = "udev records nothing here (no /run/udev/data, or it is not mounted): ENV{ID_BUS} of rule 2 finds nothing"
	if a.note() != note {
		t.Errorf("noted %q", a.note())
	}
	b := m.ask(`ENV{MAJOR}=="81"`)
	b.want(cam+"/1-2:1.0/video4linux/video0", cam+"/1-2:1.0/video4linux/video1")
	if b.note() != "" {
		t.Errorf("noted %q", b.note())
	}
}

func TestSharedMonitor(t *testing.T) {
	m := newFixture(t)
	m.add("/devices/x0", "x")
	a, b := m.ask(`KERNEL=="x*"`), m.ask(`SUBSYSTEM=="x"`)
	a.want("/devices/x0")
	b.want("/devices/x0")
	if m.opened != 1 {
		t.Errorf("%d sources of events", m.opened)
	}
	a.cancel()
	if err := <-a.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Discover returned %v", err)
	}
	m.uevent("remove", "/devices/x0")
	b.want()
	events := m.events
	b.cancel()
	<-b.done
	<-events.closed
	c := m.ask(`SUBSYSTEM=="x"`)
	c.want("/devices/x0") // it is still in this sysfs
	if m.opened != 2 {
		t.Errorf("%d sources of events", m.opened)
	}
}

// A consumer that takes no reports holds up nobody, and gets the latest state.
func TestSlowConsumer(t *testing.T) {
	m := newFixture(t)
	slow, quick := m.ask(`SUBSYSTEM=="x"`), m.ask(`SUBSYSTEM=="x"`, `KERNEL=="y"`)
	quick.want()
	for i := range 3 * maxDirty / 2 {
		m.uevent("remove", fmt.Sprintf("/devices/gone%d", i))
	}
	m.add("/devices/x0", "x")
	m.uevent("add", "/devices/x0")
	quick.want("/devices/x0")
	m.remove("/devices/x0", "x")
	m.uevent("remove", "/devices/x0")
	quick.want()
	m.add("/devices/x1", "x")
	m.uevent("add", "/devices/x1")
	quick.want("/devices/x1")
	m.h.mu.Lock()
	mon := m.h.monitor
	m.h.mu.Unlock()
	mon.mu.Lock()
	for s := range mon.subs {
		if len(s.dirty) > maxDirty {
			t.Errorf("%d devices noted", len(s.dirty))
		}
	}
	mon.mu.Unlock()
	// The one it did not take, of whatever moment, and then the latest: what
	// was between them has come and gone.
	ds := <-slow.ch
	if len(ds) != 1 || ds[0].ID != "/devices/x1" {
		ds = <-slow.ch
	}
	if len(ds) != 1 || ds[0].ID != "/devices/x1" {
		t.Errorf("got %v", ds)
	}
}

func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	m := newFixture(t)
	a, b := m.ask(`KERNEL=="a"`), m.ask(`KERNEL=="b"`)
	a.want()
	b.want()
	m.event(broken)
	for _, x := range []*answer{a, b} {
		if err := <-x.done; !errors.Is(err, broken) || discovery.IsInvalid(err) {
			t.Errorf("Discover returned %v", err)
		}
	}
	// The next request starts anew.
	c := m.ask(`KERNEL=="a"`)
	c.want()

	// What report returns ends the request.
	err := m.h.Discover(context.Background(), discovery.Request{Details: `udevRules: ['KERNEL=="a"']`}, func([]discovery.Device) error { return broken })
	if err != broken {
		t.Errorf("Discover returned %v", err)
	}
	err = m.h.Discover(context.Background(), discovery.Request{Details: `udevRules: ['KERNEL="a"']`}, nil)
	if !discovery.IsInvalid(err) || !strings.Contains(err.Error(), "column 7") {
		t.Errorf("Discover returned %v", err)
	}
	h := New(Options{Listen: func() (Events, error) { return nil, broken }})
	if err := h.Discover(context.Background(), discovery.Request{Details: `udevRules: ['KERNEL=="a"']`}, nil); !errors.Is(err, broken) {
		t.Errorf("Discover returned %v", err)
	}
	e := &fakeEvents{closed: make(chan struct{})}
	h = New(Options{Sys: os.DirFS(t.TempDir()).(fs.ReadLinkFS), Listen: func() (Events, error) { return e, nil }})
	if err := h.Discover(context.Background(), discovery.Request{Details: `udevRules: ['KERNEL=="a"']`}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Discover returned %v", err)
	}
	<-e.closed
}

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		m := newFixture(t)
		m.add("/devices/x0", "x", "DEVNAME=x0")
		m.add("/devices/x1", "x", "DEVNAME=x1")
		return discoverytest.Fixture{
			Handler: m.h,
			Request: discovery.Request{Details: `udevRules: ['SUBSYSTEM=="x"']`},
			Present: []string{"/devices/x0", "/devices/x1"},
			Unplug: func() []string {
				m.remove("/devices/x1", "x")
				m.uevent("remove", "/devices/x1")
				return []string{"/devices/x0"}
			},
			Plug: func() []string {
				m.add("/devices/x1", "x", "DEVNAME=x1")
				m.uevent("add", "/devices/x1")
				return []string{"/devices/x0", "/devices/x1"}
			},
			Invalid:     discovery.Request{Details: `udevRules: ['SUBSYSTEM="x"']`},
			AlsoInvalid: []discovery.Request{{}, {Details: "udevRules: []"}, {Details: "- a"}, {Details: `udevRules: ['ACTION=="add"']`}},
			Nothing:     &discovery.Request{Details: `udevRules: ['SUBSYSTEM=="nothing"']`},
		}
	})
}

func TestNames(t *testing.T) {
	h := New(Options{})
	if h.Name() != "udev" || h.Shared() {
		t.Error(h.Name(), h.Shared())
	}
}

// BenchmarkEvent measures from a lone event to the report, without the kernel,
// with 64 devices present.
func BenchmarkEvent(b *testing.B) {
	m := newFixture(b)
	for i := range 64 {
		m.add(fmt.Sprintf("/devices/host/%d/x%d", i, i), "x", fmt.Sprintf("DEVNAME=x%d", i))
	}
	a := m.ask(`SUBSYSTEM=="x", KERNEL=="x*"`)
	<-a.ch
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		time.Sleep(2 * reportDelay(64)) // lone: not in a burst
		b.StartTimer()
		m.uevent([]string{"remove", "add"}[i%2], "/devices/host/7/x7")
		<-a.ch
	}
}

// BenchmarkBurst measures 1,000 devices that come at once, until all are
// reported.
func BenchmarkBurst(b *testing.B) {
	m := newFixture(b)
	a := m.ask(`SUBSYSTEM=="x", SUBSYSTEMS=="y", KERNEL=="x*"`)
	<-a.ch
	m.add("/devices/host", "y")
	for i := range 1000 {
		m.add(fmt.Sprintf("/devices/host/%d/x%d", i, i), "x", fmt.Sprintf("DEVNAME=x%d", i))
	}
	reports := 0
	for b.Loop() {
		for i := range 1000 {
			m.uevent("add", fmt.Sprintf("/devices/host/%d/x%d", i, i))
		}
		for len(<-a.ch) < 1000 {
			reports++
		}
		b.StopTimer()
		for i := range 1000 {
			m.uevent("remove", fmt.Sprintf("/devices/host/%d/x%d", i, i))
		}
		for len(<-a.ch) > 0 {
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(reports)/float64(b.N)+1, "reports/op")
}

// The first look is nobody's delay; a report that an event has caused is.
func TestReportedHook(t *testing.T) {
	m := newFixture(t)
	took := make(chan time.Duration, 10)
	m.h.options.Reported = func(d time.Duration) { took <- d }
	m.plugCamera()
	a := m.ask(`SUBSYSTEM=="video4linux"`)
	a.want(cam+"/1-2:1.0/video4linux/video0", cam+"/1-2:1.0/video4linux/video1")
	m.uevent("change", cam+"/1-2:1.0/leds/led0") // changes no list
	m.uevent("remove", cam+"/1-2:1.0/video4linux/video1")
	a.want(cam + "/1-2:1.0/video4linux/video0")
	if d := <-took; d <= 0 || d > time.Minute {
		t.Errorf("it took %s", d)
	}
	if n := len(took); n != 0 {
		t.Errorf("%d further reports were timed", n)
	}
}
