package recording

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

const machine = "../testdata/machine.txt"

// Of a recorded machine the same recording is made.
func TestRoundTrip(t *testing.T) {
	text, err := os.ReadFile(machine)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Mounts, r.Swaps = []Mount{{"8:1", "/", "/dev/sda1"}}, []string{"/dev/sda2"}
	again, err := Record(Machine{Sys: r.Sys(), Records: r.Records(), Tables: vital.Files{Proc: r.Proc()}, KeepSerials: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, again); d != "" {
		t.Error(d)
	}
	var out bytes.Buffer
	again.Mounts, again.Swaps = nil, nil
	if err := again.Write(&out); err != nil || out.String() != string(text) {
		t.Errorf("%v: %s", err, cmp.Diff(string(text), out.String()))
	}
}

// The file system of a recording is one, links included.
func TestFS(t *testing.T) {
	text, err := os.ReadFile(machine)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(r.Records(), "c188:0"); err != nil {
		t.Error(err)
	}
	sys := r.Sys()
	for name, want := range map[string]string{
		"class/tty/ttyUSB0/device/port_number":       "0\n",
		"dev/char/81:0/name":                         "Logitech Webcam C930e\n",
		"bus/usb/devices/1-5/idVendor":               "10c4\n",
		"class/tty/ttyUSB0/subsystem/ttyUSB1/uevent": "MAJOR=188\nMINOR=1\nDEVNAME=ttyUSB1\n",
	} {
		if b, err := fs.ReadFile(sys, name); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// Links that lead nowhere, in circles or outside end.
func TestLinks(t *testing.T) {
	f := newFiles()
	f.link("a", "b")
	f.link("b", "a")
	f.add("c", fs.ModeSymlink|0o777, "../../etc/passwd")
	f.add("d/e", 0o444, "x")
	f.add("d/e/f", 0o444, "below a file")
	f.add("../x", 0o444, "outside")
	for _, name := range []string{"a", "b/c", "c", "d/e/f", "../x", "/d", "d/../d"} {
		if b, err := fs.ReadFile(f, name); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
	if _, err := fs.ReadDir(f, "d/e"); err == nil {
		t.Error("a file is a folder")
	}
}

func TestBlank(t *testing.T) {
	r, err := Read(strings.NewReader(`akri devices 1
D /devices/pci/usb1
S bus usb
A serial=0000:00:14.0
D /devices/pci/usb1/1-1
S bus usb
A serial=0001
A product=Stick 0001
A busnum=0001
R E:ID_SERIAL=Maker_Stick_0001
R E:ID_SERIAL_SHORT=0001
R E:ID_PATH=pci-0001
R S:serial/by-id/usb-Maker_Stick_0001-if00
R S:serial/by-id/usb-Maker_Stick_00012-if00
D /devices/pci/net/eth0
S class net
U INTERFACE=eth0
A address=02:42:ac:11:00:02
A dev_id=0x0
R E:ID_NET_NAME_MAC=enx0242ac110002
D /devices/pci/block/sda
S class block
A wwid=naa.5000c500a1b2c3d4
R E:ID_FS_LABEL=Alice's photos
R E:ID_FS_TYPE=ext4
R S:disk/by-id/wwn-naa.5000c500a1b2c3d4
M 8:0 / /dev/sda
`))
	if err != nil {
		t.Fatal(err)
	}
	r.blank()
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `akri devices 1
D /devices/pci/usb1
S bus usb
A serial=0000:00:14.0
D /devices/pci/usb1/1-1
S bus usb
A busnum=0001
A product=Stick 0001
A serial=blanked1
R E:ID_SERIAL=Maker_Stick_blanked1
R E:ID_SERIAL_SHORT=blanked1
R E:ID_PATH=pci-0001
R S:serial/by-id/usb-Maker_Stick_blanked1-if00
R S:serial/by-id/usb-Maker_Stick_00012-if00
D /devices/pci/net/eth0
S class net
U INTERFACE=eth0
A address=blanked2
A dev_id=0x0
R E:ID_NET_NAME_MAC=blanked3
D /devices/pci/block/sda
S class block
A wwid=blanked4
R E:ID_FS_LABEL=blanked5
R E:ID_FS_TYPE=ext4
R S:disk/by-id/wwn-blanked4
M 8:0 / /dev/sda
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                                  "does not begin with",
		"akri devices 2\n":                                  "does not begin with",
		header + "\nA a=b":                                  "line 2: there is no device before it",
		header + "\nD /devices/../etc":                      "is not a devpath",
		header + "\nD /etc":                                 "is not a devpath",
		header + "\nD /devices/a\nA ../../x=1":              "line 3",
		header + "\nD /devices/a\nA b":                      "is not a name and a value",
		header + "\nD /devices/a\nS bus ../x":               "neither a bus nor a class",
		header + "\nD /devices/a\nS room x":                 "neither a bus nor a class",
		header + "\nD /devices/a\nV a/b":                    "is not the name of a driver",
		header + "\nD /devices/a\nL b=../../x":              "is not the target of a link",
		header + "\nD /devices/a\nU \"x":                    "not quoted",
		header + "\nD /devices/a\nX y":                      "no line of a recording begins",
		header + "\nM 8:0 /":                                "a mount has",
		header + "\n" + strings.Repeat("x", maxLineBytes+1): "too long",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// What this machine's record says is what this machine says.
func TestThisMachine(t *testing.T) {
	sys, ok := os.DirFS("/sys").(fs.ReadLinkFS)
	if _, err := os.Stat("/sys/class/mem/null"); err != nil || !ok {
		t.Skip("this machine has no sysfs")
	}
	r, err := Record(Machine{Sys: sys, Tables: vital.Files{Proc: os.DirFS("/proc")}})
	if err != nil {
		t.Fatal(err)
	}
	d := sysfs.New(r.Sys(), nil).View().At("/devices/virtual/mem/null")
	if number, _ := d.Attr("dev"); d.Devnode() != "/dev/null" || d.Subsystem() != "mem" || number != "1:3" {
		t.Errorf("%q, %q, %q", d.Devnode(), d.Subsystem(), number)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("akri devices 1\nD /devices/a/b\nS bus usb\nU MAJOR=1\nU MINOR=2\nA x=\"\\n\"\nL device=/devices/a\nR E:A=b\nM 8:1 / /dev/a\nW /dev/b")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := Record(Machine{Sys: r.Sys(), Records: r.Records(), Tables: vital.Files{Proc: r.Proc()}})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := again.Write(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&out); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}
