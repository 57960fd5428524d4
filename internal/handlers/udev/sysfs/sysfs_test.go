package sysfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/akri-go/akri/internal/handlers/udev/rule"
)

// usb is a small machine: a webcam and a keyboard on a USB bus behind a PCI
// host, a disk, /dev/null, and a network interface.
func usb() fstest.MapFS {
	m := fstest.MapFS{}
	file := func(name, data string) { m[name] = &fstest.MapFile{Data: []byte(data), Mode: 0o444} }
	link := func(name, to string) {
		m[name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
	}
	dev := func(devpath, place, uevent string) {
		d := "devices/" + devpath
		up := strings.Repeat("../", strings.Count(d, "/")+1)
		file(d+"/uevent", uevent)
		if place == "" {
			return
		}
		link(d+"/subsystem", up+strings.TrimSuffix(place, "/devices"))
		link(place+"/"+path.Base(d), strings.Repeat("../", strings.Count(place, "/")+1)+d)
	}
	const host = "pci0000:00/0000:00:14.0"
	dev("pci0000:00", "", "")
	dev(host, "bus/pci/devices", "DRIVER=xhci_hcd\nPCI_ID=8086:9D2F\n")
	link("devices/"+host+"/driver", "../../../bus/pci/drivers/xhci_hcd")
	link("devices/"+host+"/iommu_group", "../../../kernel/iommu_groups/7")
	file("devices/"+host+"/vendor", "0x8086\n")
	dev(host+"/usb1", "bus/usb/devices", "MAJOR=189\nMINOR=0\nDEVNAME=bus/usb/001/001\nDEVTYPE=usb_device\n")
	dev(host+"/usb1/1-2", "bus/usb/devices", "MAJOR=189\nMINOR=4\nDEVNAME=bus/usb/001/005\nDEVTYPE=usb_device\n")
	file("devices/"+host+"/usb1/1-2/idVendor", "046d\n")
	file("devices/"+host+"/usb1/1-2/product", "HD Webcam \n")
	dev(host+"/usb1/1-2/1-2:1.0", "bus/usb/devices", "DEVTYPE=usb_interface\nDRIVER=uvcvideo\n")
	link("devices/"+host+"/usb1/1-2/1-2:1.0/driver", "../../../../../../bus/usb/drivers/uvcvideo")
	dev(host+"/usb1/1-2/1-2:1.0/video4linux/video0", "class/video4linux", "MAJOR=81\nMINOR=0\nDEVNAME=video0\n")
	dev(host+"/usb1/1-2/1-2:1.0/input/input7", "class/input", "NAME=\"HD Webcam\"\n")
	dev(host+"/usb1/1-2/1-2:1.0/input/input7/event7", "class/input", "MAJOR=13\nMINOR=71\nDEVNAME=input/event7\n")
	dev("virtual/mem/null", "class/mem", "MAJOR=1\nMINOR=3\nDEVNAME=null\nDEVMODE=0666\n")
	dev("virtual/block/cciss!c0d0", "class/block", "MAJOR=104\nMINOR=0\nDEVNAME=cciss/c0d0\nDEVTYPE=disk\n")
	dev("virtual/net/lo", "class/net", "INTERFACE=lo\nIFINDEX=1\n")
	file("devices/virtual/net/lo/ifindex", "1\n")

	null := "devices/virtual/mem/null/"
	file(null+"two", "a\nb\n\n")
	file(null+"zero", "ab\x00cd\n")
	file(null+"long", strings.Repeat("x", 2*maxAttrBytes))
	file(null+"folder/file", "x \n")
	link(null+"other", "../../virtual/mem/null/two")
	link(null+"module", "../../../../module/drv")
	m[null+"secret"] = &fstest.MapFile{Data: []byte("x"), Mode: 0o200}
	file("class/gpio/export", "") // no link
	link("class/odd/abs", "/etc/passwd")
	link("class/odd/out", "../../../etc/passwd")
	link("class/odd/fw", "../../firmware/x")
	link("dev/char/81:0", "../../devices/"+host+"/usb1/1-2/1-2:1.0/video4linux/video0")
	link("dev/block/104:0", "../../devices/virtual/block/cciss!c0d0")
	return m
}

func TestDevices(t *testing.T) {
	tree := New(usb(), nil)
	var got []string
	err := tree.Devices(func(ref Ref) { got = append(got, ref.Subsystem+" "+ref.Devpath) })
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	const host = "/devices/pci0000:00/0000:00:14.0"
	want := []string{
		"block /devices/virtual/block/cciss!c0d0",
		"input " + host + "/usb1/1-2/1-2:1.0/input/input7",
		"input " + host + "/usb1/1-2/1-2:1.0/input/input7/event7",
		"mem /devices/virtual/mem/null",
		"net /devices/virtual/net/lo",
		"pci " + host,
		"usb " + host + "/usb1",
		"usb " + host + "/usb1/1-2",
		"usb " + host + "/usb1/1-2/1-2:1.0",
		"video4linux " + host + "/usb1/1-2/1-2:1.0/video4linux/video0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if err := New(fstest.MapFS{}, nil).Devices(func(Ref) {}); err == nil {
		t.Error("no error without class")
	}
	// An old kernel has no class/block; a small one may have no buses.
	old := fstest.MapFS{
		"class/mem/x":          {Mode: fs.ModeDir},
		"block/sda":            {Data: []byte("../devices/a/sda"), Mode: fs.ModeSymlink},
		"devices/a/sda/uevent": {},
	}
	got = nil
	if err := New(old, nil).Devices(func(ref Ref) { got = append(got, ref.Subsystem+" "+ref.Devpath) }); err != nil || !slices.Equal(got, []string{"block /devices/a/sda"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// find returns the device with a name.
func find(t *testing.T, v *View, name string) *Device {
	t.Helper()
	var d *Device
	if err := v.tree.Devices(func(ref Ref) {
		if path.Base(ref.Devpath) == name {
			d = v.Device(ref)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if d == nil {
		t.Fatalf("no device %s", name)
	}
	return d
}

func TestDevice(t *testing.T) {
	tree := New(usb(), nil)
	for _, tt := range []struct{ name, kernel, subsystem, driver, node, parent string }{
		{"null", "null", "mem", "", "/dev/null", ""},
		{"cciss!c0d0", "cciss/c0d0", "block", "", "/dev/cciss/c0d0", ""},
		{"video0", "video0", "video4linux", "", "/dev/video0", "1-2:1.0"},
		{"event7", "event7", "input", "", "/dev/input/event7", "input7"},
		{"1-2:1.0", "1-2:1.0", "usb", "uvcvideo", "", "1-2"},
		{"0000:00:14.0", "0000:00:14.0", "pci", "xhci_hcd", "", "pci0000:00"},
		{"lo", "lo", "net", "", "", ""},
	} {
		d := find(t, tree.View(), tt.name)
		parent := ""
		if p, ok := d.Parent(); ok {
			parent = p.Kernel()
		}
		got := []string{d.Kernel(), d.Subsystem(), d.Driver(), d.Devnode(), parent}
		if want := []string{tt.kernel, tt.subsystem, tt.driver, tt.node, tt.parent}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, want)
		}
		if s, ok := tree.Subsystem(d.Devpath()); s != tt.subsystem || !ok {
			t.Errorf("%s: Subsystem: %s, %t", tt.name, s, ok)
		}
	}
	if g := find(t, tree.View(), "0000:00:14.0").Link("iommu_group"); g != "7" {
		t.Errorf("iommu_group %q", g)
	}
	if _, ok := tree.Subsystem("/devices/pci0000:00"); ok {
		t.Error("pci0000:00 has a subsystem")
	}
}

func TestDevnode(t *testing.T) {
	for uevent, want := range map[string]string{
		"DEVNAME=a/b":        "/dev/a/b",
		"DEVNAME=/dev/a":     "/dev/a",
		"DEVNAME=../etc":     "",
		"DEVNAME=a/../../b":  "",
		"DEVNAME=/etc/x":     "",
		"DEVNAME=":           "",
		"DEVNAME=.":          "",
		"X=1\nDEVNAME=b\r\n": "/dev/b",
		"":                   "",
	} {
		v := New(fstest.MapFS{"devices/x/uevent": {Data: []byte(uevent)}}, nil).View()
		if got := v.Device(Ref{"/devices/x", "s"}).Devnode(); got != want {
			t.Errorf("%q: %q, want %q", uevent, got, want)
		}
	}
}

func TestAttr(t *testing.T) {
	d := find(t, New(usb(), nil).View(), "null")
	for name, want := range map[string]string{
		"dev":                              "-",
		"two":                              "a\nb",
		"zero":                             "ab",
		"long":                             strings.Repeat("x", maxAttrBytes),
		"folder/file":                      "x ",
		"folder":                           "-",
		"other":                            "-",
		"module":                           "drv",
		"driver":                           "-",
		"subsystem":                        "mem",
		"secret":                           "-",
		"../../net/lo/uevent":              "INTERFACE=lo\nIFINDEX=1",
		"../../../../class/net/lo/ifindex": "-",
		"../../../../../etc/passwd":        "-",
		"":                                 "-",
	} {
		got, ok := d.Attr(name)
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%s: %.30q, want %.30q", name, got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	records := fstest.MapFS{
		"c81:0":        {Data: []byte("S:v4l/by-id/cam\nS:cam\nI:123\nE:ID_BUS=usb\nE:ID_X=a=b\nE:DEVTYPE=mine\nG:uaccess\nG:old\nQ:uaccess\nQ:seat\nV:1\n")},
		"+usb:1-2:1.0": {Data: []byte("E:ID_TYPE=x\n")},
		"b104:0":       {Data: []byte("G:disk\nE:=x\nE:y\n")},
	}
	for _, tt := range []struct {
		device, key, want string
		known             bool
		noRecords         bool
	}{
		{device: "video0", key: "ID_BUS", want: "usb", known: true},
		{device: "video0", key: "ID_X", want: "a=b", known: true},
		{device: "video0", key: "DEVTYPE", want: "mine", known: true},
		{device: "video0", key: "TAGS", want: ":uaccess:seat:", known: true},
		{device: "video0", key: "DEVLINKS", want: "/dev/v4l/by-id/cam /dev/cam", known: true},
		{device: "video0", key: "MAJOR", want: "81", known: true},
		{device: "video0", key: "DEVNAME", want: "/dev/video0", known: true},
		{device: "video0", key: "SUBSYSTEM", want: "video4linux", known: true},
		{device: "video0", key: "NO", known: true},
		{device: "video0", key: "ID_BUS", known: true, noRecords: true},
		{device: "1-2:1.0", key: "ID_TYPE", want: "x", known: true},
		{device: "1-2:1.0", key: "DRIVER", want: "uvcvideo", known: true},
		{device: "input7", key: "ID_X", known: true}, // need not be recorded
		{device: "cciss!c0d0", key: "TAGS", want: ":disk:", known: true},
		{device: "cciss!c0d0", key: "y", known: true},
		{device: "null", key: "MINOR", want: "3", known: true},
		{device: "null", key: "ID_BUS", known: false},
		{device: "lo", key: "ID_BUS", known: false},
		{device: "null", key: "ID_BUS", known: true, noRecords: true},
	} {
		tree := New(usb(), records)
		if tt.noRecords {
			tree = New(usb(), nil)
		}
		got, known := find(t, tree.View(), tt.device).Property(tt.key)
		if got != tt.want || known != tt.known {
			t.Errorf("%s %s: %q, %t; want %q, %t", tt.device, tt.key, got, known, tt.want, tt.known)
		}
	}
	v := New(usb(), records).View()
	if tags, known := find(t, v, "video0").Tags(); !known || !slices.Equal(tags, []string{"uaccess", "seat"}) {
		t.Errorf("tags of video0: %v, %t", tags, known)
	}
	if tags, known := find(t, v, "null").Tags(); known || tags != nil {
		t.Errorf("tags of null: %v, %t", tags, known)
	}
	if tags, known := find(t, New(usb(), nil).View(), "null").Tags(); !known || tags != nil {
		t.Errorf("tags of null without records: %v, %t", tags, known)
	}
}

func TestDevpathOf(t *testing.T) {
	tree := New(usb(), nil)
	for id, want := range map[string]string{
		"c81:0":         "video0",
		"b104:0":        "cciss!c0d0",
		"n1":            "lo",
		"+usb:1-2:1.0":  "1-2:1.0",
		"+input:input7": "input7",
		"n2":            "",
		"c1:9":          "",
		"+usb:":         "",
		"+":             "",
		"":              "",
		".#c81:0":       "",
		"c../x":         "",
		"+..:..":        "",
	} {
		got, ok := tree.DevpathOf(id)
		if ok != (want != "") || ok && path.Base(got) != want {
			t.Errorf("%s: %q, %t", id, got, ok)
		}
	}
}

func TestRuleOnTree(t *testing.T) {
	v := New(usb(), nil).View()
	d := find(t, v, "video0")
	for text, want := range map[string]bool{
		`SUBSYSTEM=="video4linux", SUBSYSTEMS=="usb", ATTRS{idVendor}=="046d", ATTRS{product}=="HD Webcam"`: true,
		`SUBSYSTEMS=="pci", DRIVERS=="xhci_hcd", ATTRS{vendor}=="0x8086"`:                                   true,
		`SUBSYSTEMS=="pci", ATTRS{idVendor}=="046d"`:                                                        false,
		`DRIVERS=="uvcvideo", ATTRS{subsystem}=="usb"`:                                                      true,
	} {
		r, err := rule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if r.Matches(d) != want {
			t.Errorf("%s: got %t", text, !want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("S:x\nE:A=b\nG:t\nQ:t\nV:1\n"))
	f.Add([]byte("E:=\nE:a\n:\nQ:\r\n\x00:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := ParseRecord(b)
		if len(r.Properties)+len(r.Tags)+len(r.Links) > 2*maxValues {
			t.Errorf("too much: %d", len(r.Properties))
		}
		for k := range r.Properties {
			if k == "" || strings.ContainsAny(k, "=\n\x00") {
				t.Errorf("key %q", k)
			}
		}
	})
}
