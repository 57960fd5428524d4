package udev

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/udev/details"
	"github.com/akri-go/akri/internal/handlers/udev/recording"
)

// recordedMachine has the hardware of which docs/handlers/udev-rules.md speaks.
// It was written by "akri discover --record". Each two of changes are what is
// replaced in it by what.
func recordedMachine(t *testing.T, changes ...string) Options {
	t.Helper()
	text, err := os.ReadFile("testdata/machine.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := recording.Read(strings.NewReader(strings.NewReplacer(changes...).Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	return Recorded(r)
}

// asked once.
func reportOf(t *testing.T, o Options, details string) discovery.Report {
	t.Helper()
	var report discovery.Report
	enough := errors.New("enough")
	err := New(o).Explain(t.Context(), discovery.Request{Details: details}, func(r discovery.Report) error {
		report = r
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%s: %v", details, err)
	}
	return report
}

// nodes are the devices' nodes, those of one device joined by +.
func nodes(r discovery.Report) string {
	var all []string
	for _, d := range r.Devices {
		var own []string
		for _, s := range d.DeviceSpecs {
			own = append(own, strings.TrimPrefix(s.ContainerPath, "/dev/"))
		}
		all = append(all, strings.Join(own, "+"))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// Every rule of the page finds what it is said to find.
func TestRulesOfThePage(t *testing.T) {
	want := map[string]string{
		"Webcams":                          "video0",
		"RealSense":                        "video2 video6",
		"One interface of it":              "video6",
		"FTDI serial adapters":             "ttyUSB0 ttyUSB1",
		"One of two that are alike":        "ttyUSB1",
		"CP210x adapters":                  "ttyUSB2",
		"CH341 adapters":                   "ttyUSB9",
		"Zigbee sticks":                    "ttyUSB2",
		"Z-Wave of a combined stick":       "ttyUSB3",
		"Zigbee of a combined stick":       "ttyUSB4",
		"All USB serial ports":             "ttyACM0 ttyUSB0 ttyUSB1 ttyUSB2 ttyUSB3 ttyUSB4 ttyUSB5 ttyUSB6 ttyUSB7 ttyUSB8 ttyUSB9",
		"Modems: the port for commands":    "ttyUSB7",
		"Modems: all of one":               "ttyUSB5+ttyUSB6+ttyUSB7+ttyUSB8+cdc-wdm0",
		"RealSense as one":                 "video2+video3+video4+video5+video6+video7",
		"A camera with its microphone":     "video0+video1+snd/controlC1+snd/pcmC1D0c+snd/timer",
		"GPUs with their displays":         "dri/card0+dri/renderD128 dri/card1+dri/renderD129",
		"A path of your choosing":          "zwave",
		"Modems: the control channel":      "cdc-wdm0",
		"J-Link debuggers":                 "ttyACM0",
		"Coral accelerators":               "bus/usb/002/002",
		"GPUs for computing and video":     "dri/renderD128 dri/renderD129",
		"GPUs of one make":                 "dri/renderD128",
		"Sound: recording of a USB camera": "snd/pcmC1D0c",
		"Sound: the card of the board":     "snd/pcmC0D0p",
		"GPIO":                             "gpiochip0",
		"I²C":                              "i2c-1",
		"TPM":                              "tpmrm0",
		"Virtual machines":                 "kvm",
	}
	page, err := os.ReadFile("../../../docs/handlers/udev-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for section := range strings.SplitSeq(string(page), "\n## ") {
		title, rest, _ := strings.Cut(section, "\n")
		_, details, ok := strings.Cut(rest, "```yaml\n")
		if !ok {
			continue
		}
		details, _, _ = strings.Cut(details, "```")
		if _, known := want[title]; !known {
			t.Errorf("%s: the test does not know what it finds", title)
			continue
		}
		o := recordedMachine(t)
		r := reportOf(t, o, details)
		if got := nodes(r); got != want[title] {
			t.Errorf("%s: found %q, want %q", title, got, want[title])
		}
		if r.Note != "" {
			t.Errorf("%s: %s", title, r.Note)
		}
		delete(want, title)
	}
	for title := range want {
		t.Errorf("%s is not on the page", title)
	}
}

const everything = `udevRules: ['SUBSYSTEM=="tty|video4linux|drm|sound|usb|usbmisc|net|gpio|i2c-dev|tpm|tpmrm|kfd|misc", KERNEL=="*"']` + "\n"

// ids returns ids by what stays the same of a device: its devpath with other
// numbers.
func ids(r discovery.Report) map[string]string {
	all := map[string]string{}
	for _, d := range r.Devices {
		all[d.Properties["UDEV_DEVPATH"]] = d.ID
	}
	return all
}

// After a boot in which everything got other numbers, places and serial numbers
// are the same; devpaths are not.
func TestIdentityOutlastsNumbers(t *testing.T) {
	renumbered := []string{
		"ttyUSB0", "ttyUSB1", "ttyUSB1", "ttyUSB0", "ttyUSB2", "ttyUSB12", "ttyUSB5", "ttyUSB10", "ttyUSB6", "ttyUSB11", "ttyUSB7", "ttyUSB20", "ttyUSB8", "ttyUSB100",
		"/usb1", "/usb3", "/1-", "/3-", "video0", "video10", "video1", "video11", "video2", "video8", "video3", "video9",
		"card0", "card1", "card1", "card0", "controlC0", "controlC1", "controlC1", "controlC0", "pcmC0", "pcmC1", "pcmC1", "pcmC0", "hwC0", "hwC1",
		"renderD128", "renderD129", "renderD129", "renderD128", "ttyACM0", "ttyACM7", "cdc-wdm0", "cdc-wdm3", "i2c-1", "i2c-4", "wwan0", "wwan1", "gpiochip512", "gpiochip0", "gpiochip0", "gpiochip3",
	}
	var back []string
	for i := 0; i < len(renumbered); i += 2 {
		back = append(back, renumbered[i+1], renumbered[i])
	}
	renumbered, back = longestFirst(renumbered), longestFirst(back)
	for _, by := range []string{"path", "serial", "devpath"} {
		before := reportOf(t, recordedMachine(t), everything+"identifyBy: "+by)
		after := reportOf(t, recordedMachine(t, renumbered...), everything+"identifyBy: "+by)
		was, now := ids(before), ids(after)
		if len(was) != len(now) || len(was) < 50 {
			t.Fatalf("%d devices before, %d after", len(was), len(now))
		}
		same := 0
		unrename := strings.NewReplacer(back...)
		for devpath, id := range now {
			old, ok := was[unrename.Replace(devpath)]
			if !ok {
				t.Fatalf("what was %s?", devpath)
			}
			if old == id {
				same++
			} else if by != "devpath" {
				t.Errorf("by %s: %s was %s and is %s", by, devpath, old, id)
			}
		}
		if by == "devpath" && same == len(now) {
			t.Error("nothing was renumbered")
		}
		seen := map[string]bool{}
		for _, id := range now {
			if seen[id] {
				t.Errorf("by %s: two are %s", by, id)
			}
			seen[id] = true
		}
	}
}

// longestFirst sorts pairs for a Replacer, which takes the first that fits.
func longestFirst(pairs []string) []string {
	all := slices.Collect(slices.Chunk(pairs, 2))
	slices.SortStableFunc(all, func(a, b []string) int { return len(b[0]) - len(a[0]) })
	return slices.Concat(all...)
}

func TestIdentities(t *testing.T) {
	const usb = "pci0000:00/0000:00:14.0/usb2/"
	for _, tt := range []struct {
		name, details string
		changes       []string
		want          string // ids
		note          string
	}{
		{"today's", `udevRules: ['SUBSYSTEM=="tty", KERNEL=="ttyUSB2"']`, nil,
			"/devices/pci0000:00/0000:00:14.0/usb1/1-5/1-5:1.0/ttyUSB2/tty/ttyUSB2", ""},
		{"two alike, by port", "identifyBy: path\nudevRules: ['SUBSYSTEM==\"tty\", ATTRS{idVendor}==\"0403\"']", nil,
			"path:" + usb + "3/1.0/port0/tty/ttyUSB path:" + usb + "4/1.0/port0/tty/ttyUSB", ""},
		{"behind a hub", "identifyBy: path\nudevRules: ['SUBSYSTEM==\"tty\", KERNEL==\"ttyUSB9\"']", nil, "path:" + usb + "8/8.1/1.0/port0/tty/ttyUSB", ""},
		{"by serial number, two ports of one stick", "identifyBy: serial\nudevRules: ['SUBSYSTEM==\"tty\", ATTRS{idProduct}==\"8a2a\"']", nil,
			"serial:10c4:8a2a:blanked4/1.0/port0/tty/ttyUSB serial:10c4:8a2a:blanked4/1.1/port0/tty/ttyUSB", ""},
		{"moved to another port", "identifyBy: serial\nudevRules: ['SUBSYSTEM==\"tty\", KERNEL==\"ttyUSB2\"']", []string{"1-5", "1-12"}, "serial:10c4:ea60:blanked3/1.0/port0/tty/ttyUSB", ""},
		{"without one", "identifyBy: serial\nudevRules: ['SUBSYSTEM==\"tty\", KERNEL==\"ttyUSB0\"']", nil, "path:" + usb + "3/1.0/port0/tty/ttyUSB", "identified by place, since there is no serial number: /dev/ttyUSB0"},
		{"a root hub has none", "identifyBy: serial\nudevRules: ['KERNEL==\"usb1\"']", nil, "path:pci0000:00/0000:00:14.0/usb2", "identified by place, since there is no serial number: /dev/bus/usb/001/001"},
		{"one number on two sticks", "identifyBy: serial\nudevRules: ['SUBSYSTEM==\"tty\", ATTRS{idVendor}==\"10c4\"']", []string{"blanked3", "0001", "blanked4", "0001", "8a2a", "ea60"},
			"path:" + usb + "5/1.0/port0/tty/ttyUSB path:" + usb + "6/1.0/port0/tty/ttyUSB path:" + usb + "6/1.1/port0/tty/ttyUSB",
			"identified by place, since several have the same serial number: /dev/ttyUSB2, /dev/ttyUSB3, /dev/ttyUSB4"},
		{"a group is known by its topmost", "identifyBy: serial\ngroupRecursive: true\nudevRules: ['KERNELS==\"1-2\"']", nil, "serial:046d:0843:blanked2", ""},
		{"no hardware", "identifyBy: path\nudevRules: ['KERNEL==\"kvm\"']", nil, "path:virtual/misc/kvm", ""},
		{"nothing tells two apart", "identifyBy: path\nudevRules: ['SUBSYSTEM==\"i2c-dev|i2c\", ENV{DEVNAME}==\"?*\"']", nil, "path:platform/soc/fe804000.i2c/i2c/i2c-dev/i2c", ""},
	} {
		r := reportOf(t, recordedMachine(t, tt.changes...), tt.details)
		var got []string
		for _, d := range r.Devices {
			got = append(got, d.ID)
		}
		if strings.Join(got, " ") != tt.want || r.Note != tt.note {
			t.Errorf("%s: %s, %q; want %s", tt.name, got, r.Note, tt.want)
		}
	}
}

// What belongs to one piece of hardware is one Device, without the raw USB
// device.
func TestGroupByHardware(t *testing.T) {
	const modem = "/devices/pci0000:00/0000:00:14.0/usb1/1-7"
	for _, tt := range []struct{ name, details, nodes, id, note string }{
		{"modem", `udevRules: ['SUBSYSTEM=="tty|usbmisc", ATTRS{idVendor}=="2c7c"']`, "ttyUSB5+ttyUSB6+ttyUSB7+ttyUSB8+cdc-wdm0", modem, ""},
		{"modem, by place", "identifyBy: path\nudevRules: ['SUBSYSTEM==\"tty|usbmisc\", ATTRS{idVendor}==\"2c7c\"']", "ttyUSB5+ttyUSB6+ttyUSB7+ttyUSB8+cdc-wdm0",
			"path:pci0000:00/0000:00:14.0/usb2/7", ""},
		{"camera and microphone", "identifyBy: serial\nudevRules: ['SUBSYSTEM==\"video4linux|sound\", ATTRS{idVendor}==\"046d\"']",
			"video0+video1+snd/controlC1+snd/pcmC1D0c", "serial:046d:0843:blanked2", ""},
		{"two GPUs", `udevRules: ['SUBSYSTEM=="drm", KERNEL=="card[0-9]|renderD*"']`, "dri/card0+dri/renderD128 dri/card1+dri/renderD129",
			"/devices/pci0000:00/0000:00:01.0/0000:01:00.0", ""},
		{"onboard sound with the timer", "extraNodes: [/dev/snd/timer, /dev/snd/seq]\nudevRules: ['SUBSYSTEM==\"sound\", SUBSYSTEMS==\"pci\", DRIVERS==\"snd_hda_intel\"']",
			"snd/controlC0+snd/hwC0D0+snd/pcmC0D0c+snd/pcmC0D0p+snd/seq+snd/timer", "/devices/pci0000:00/0000:00:1f.3", ""},
		{"an extra node that is not there", "extraNodes: [/dev/snd/sequencer]\nudevRules: ['KERNEL==\"kvm\"']", "kvm", "/devices/virtual/misc/kvm", "extraNodes that are not there: /dev/snd/sequencer"},
		{"two sticks stay two", `udevRules: ['SUBSYSTEM=="tty", ATTRS{idVendor}=="0403"']`, "ttyUSB0 ttyUSB1", "/devices/pci0000:00/0000:00:14.0/usb1/1-3", ""},
		{"no node at all", `udevRules: ['SUBSYSTEM=="net"']`, "", modem, ""},
	} {
		r := reportOf(t, recordedMachine(t), "groupBy: hardware\n"+tt.details)
		if got := nodes(r); got != tt.nodes || r.Devices[0].ID != tt.id || r.Note != tt.note {
			t.Errorf("%s: %q, id %s, %q; want %q, %s", tt.name, got, r.Devices[0].ID, r.Note, tt.nodes, tt.id)
		}
		if p := r.Devices[0].Properties; tt.name == "modem" && (p["UDEV_DEVNODE_0"] != "/dev/ttyUSB5" || p["UDEV_DEVNODE_4"] != "/dev/cdc-wdm0" || p["UDEV_DEVPATH"] != modem) {
			t.Errorf("%s: properties %v", tt.name, p)
		}
	}
}

// What the node lives on does not come in as an extra node either.
func TestVitalExtraNodes(t *testing.T) {
	m := newFixture(t)
	m.add("/devices/virtual/mem/mem", "mem", "DEVNAME=mem")
	m.add("/devices/virtual/mem/null", "mem", "DEVNAME=null")
	m.add("/devices/x0", "x", "DEVNAME=x0")
	a := m.askDetails("extraNodes: [/dev/mem, /dev/null]\nudevRules: ['SUBSYSTEM==\"x\"']")
	got := a.want("/devices/x0")[0]
	if len(got.DeviceSpecs) != 2 || got.DeviceSpecs[1].HostPath != "/dev/null" || !strings.Contains(a.note(), "/dev/mem (it is the node's memory)") {
		t.Errorf("%+v, %q", got.DeviceSpecs, a.note())
	}
	// An extra node that comes later comes to every device.
	m.remove("/devices/virtual/mem/null", "mem")
	m.uevent("remove", "/devices/virtual/mem/null")
	if got := (<-a.ch)[0]; len(got.DeviceSpecs) != 1 {
		t.Errorf("%+v", got.DeviceSpecs)
	}
}

func TestPathsInTheContainer(t *testing.T) {
	linked := []string{"U DEVNAME=ttyUSB3\n", "U DEVNAME=ttyUSB3\nR S:serial/by-id/usb-HubZ-if00-port0\nR S:serial/by-path/pci-x\nR S:../../etc/passwd\n"}
	for _, tt := range []struct{ name, details, nodes, properties string }{
		{"as it is", "", "/dev/ttyUSB3=/dev/ttyUSB3", "UDEV_DEVNODE=/dev/ttyUSB3"},
		{"a path of one's choosing", "containerPath: /dev/zwave", "/dev/zwave=/dev/ttyUSB3", "UDEV_DEVNODE=/dev/zwave"},
		{"links", "links: property", "/dev/ttyUSB3=/dev/ttyUSB3", "UDEV_DEVLINKS=/dev/serial/by-id/usb-HubZ-if00-port0 /dev/serial/by-path/pci-x UDEV_DEVNODE=/dev/ttyUSB3"},
		{"links in the container", "links: container\ncontainerPath: /dev/zwave",
			"/dev/zwave=/dev/ttyUSB3 /dev/serial/by-id/usb-HubZ-if00-port0=/dev/ttyUSB3 /dev/serial/by-path/pci-x=/dev/ttyUSB3",
			"UDEV_DEVLINKS=/dev/serial/by-id/usb-HubZ-if00-port0 /dev/serial/by-path/pci-x UDEV_DEVNODE=/dev/zwave"},
	} {
		r := reportOf(t, recordedMachine(t, linked...), tt.details+"\npermissions: rw\nudevRules: ['SUBSYSTEM==\"tty\", KERNEL==\"ttyUSB3\"']")
		var specs, properties []string
		for _, s := range r.Devices[0].DeviceSpecs {
			specs = append(specs, s.ContainerPath+"="+s.HostPath)
		}
		for k, v := range r.Devices[0].Properties {
			if k != "UDEV_DEVPATH" {
				properties = append(properties, k+"="+v)
			}
		}
		slices.Sort(properties)
		if got := strings.Join(specs, " "); got != tt.nodes || strings.Join(properties, " ") != tt.properties {
			t.Errorf("%s: %s, %s", tt.name, got, properties)
		}
	}
	r := reportOf(t, recordedMachine(t), "groupBy: hardware\ncontainerPath: /dev/modem%n\nudevRules: ['SUBSYSTEM==\"tty\", ATTRS{idVendor}==\"2c7c\"']")
	if got := nodes(r); got != "modem0+modem1+modem2+modem3" || r.Devices[0].Properties["UDEV_DEVNODE_2"] != "/dev/modem2" {
		t.Errorf("%s, %v", got, r.Devices[0].Properties)
	}
	r = reportOf(t, recordedMachine(t), "groupBy: hardware\ncontainerPath: /dev/modem\nudevRules: ['SUBSYSTEM==\"tty\", ATTRS{idVendor}==\"2c7c\"']")
	if got := nodes(r); got != "modem+ttyUSB6+ttyUSB7+ttyUSB8" {
		t.Errorf("%s", got)
	}
}

// What the hardware says of itself: never the serial number of a hub before it.
func TestDescribe(t *testing.T) {
	for _, tt := range []struct{ name, details, want string }{
		{"not wanted", `udevRules: ['SUBSYSTEM=="tty", KERNEL=="ttyUSB2"']`, ""},
		{"a stick", `udevRules: ['SUBSYSTEM=="tty", KERNEL=="ttyUSB2"']` + "\ndescribe: hardware",
			"UDEV_PRODUCT=Sonoff Zigbee 3.0 USB Dongle Plus UDEV_PRODUCT_ID=ea60 UDEV_SERIAL=blanked3 UDEV_VENDOR=Silicon Labs UDEV_VENDOR_ID=10c4"},
		{"without a serial number, behind a hub", `udevRules: ['SUBSYSTEM=="tty", KERNEL=="ttyUSB9"']` + "\ndescribe: hardware",
			"UDEV_PRODUCT=USB Serial UDEV_PRODUCT_ID=7523 UDEV_VENDOR_ID=1a86"},
		{"several nodes", `udevRules: ['SUBSYSTEM=="tty|usbmisc", ATTRS{idVendor}=="2c7c"']` + "\ngroupBy: hardware\ndescribe: hardware",
			"UDEV_PRODUCT=EC25-AF UDEV_PRODUCT_ID=0125 UDEV_VENDOR=Quectel, Incorporated UDEV_VENDOR_ID=2c7c"},
		{"a card", `udevRules: ['SUBSYSTEM=="drm", KERNEL=="card1"']` + "\ndescribe: hardware", "UDEV_PRODUCT_ID=694c UDEV_VENDOR_ID=1002"},
		{"no hardware", `udevRules: ['KERNEL=="kvm"']` + "\ndescribe: hardware", ""},
	} {
		r := reportOf(t, recordedMachine(t), tt.details)
		var got []string
		for name, value := range r.Devices[0].Properties {
			if !strings.HasPrefix(name, "UDEV_DEV") {
				got = append(got, name+"="+value)
			}
		}
		slices.Sort(got)
		if len(r.Devices) != 1 || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %d devices, %s; want %s", tt.name, len(r.Devices), got, tt.want)
		}
	}
	m := newFixture(t)
	disk := "/devices/host/block/sda"
	m.add(disk, "block", "MAJOR=8", "MINOR=0", "DEVNAME=sda")
	m.write(m.sys+disk+"/vendor", "ACME  \n")
	m.write(m.sys+disk+"/model", "Disk\x01 "+strings.Repeat("x", 1000)+"\n")
	m.write(m.sys+disk+"/wwid", "naa.5000\n")
	p := m.askDetails("describe: hardware\nudevRules: ['KERNEL==\"sda\"']").want(disk)[0].Properties
	if p["UDEV_VENDOR"] != "ACME" || p["UDEV_SERIAL"] != "naa.5000" || !strings.HasPrefix(p["UDEV_PRODUCT"], "Disk_ xxx") || len(p["UDEV_PRODUCT"]) > 256 {
		t.Errorf("a disk: %v", p)
	}
}

// A device whose links are wanted waits for udevd.
func TestLinksWaitForUdevd(t *testing.T) {
	m := newFixture(t)
	m.must(os.MkdirAll(m.udev+"/data", 0o755))
	m.add("/devices/x0", "x", "DEVNAME=x0", "MAJOR=7", "MINOR=1")
	a := m.askDetails("links: property\nudevRules: ['SUBSYSTEM==\"x\"']")
	a.want()
	m.write(m.udev+"/data/.#c7:1", "S:by-name/x\nV:1\n")
	m.must(os.Rename(m.udev+"/data/.#c7:1", m.udev+"/data/c7:1"))
	if got := a.want("/devices/x0")[0]; got.Properties["UDEV_DEVLINKS"] != "/dev/by-name/x" {
		t.Errorf("%v", got.Properties)
	}
}

// Two that have one place are known by their devpaths, both.
func TestIdentifyCollision(t *testing.T) {
	ids, note := identify([]found{{devpath: "/devices/a", place: "x"}, {devpath: "/devices/b", place: "x"}, {devpath: "/devices/c", place: "y"}}, details.ByPath)
	if strings.Join(ids, " ") != "/devices/a /devices/b path:y" || note != "" {
		t.Errorf("%v, %q", ids, note)
	}
}
