package vital

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// tree builds a sysfs. Lines are "devpath subsystem node [number]" of devices,
// "link devpath/name target" or "file name content".
func tree(t *testing.T, lines string) (fs.ReadLinkFS, fstest.MapFS) {
	t.Helper()
	sys := fstest.MapFS{"class": {Mode: fs.ModeDir}, "bus": {Mode: fs.ModeDir}}
	link := func(name, to string) {
		sys[name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(strings.Repeat("../", strings.Count(name, "/")) + to)}
	}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "link":
			link(f[1], f[2])
		case f[0] == "file":
			sys[f[1]] = &fstest.MapFile{Data: []byte(strings.Join(f[2:], " ") + "\n"), Mode: 0o444}
		default:
			devpath, subsystem, node := strings.TrimPrefix(f[0], "/"), f[1], f[2]
			uevent := ""
			if node != "-" {
				uevent = "DEVNAME=" + node + "\n"
			}
			if len(f) > 3 {
				major, minor, _ := strings.Cut(f[3], ":")
				uevent += "MAJOR=" + major + "\nMINOR=" + minor + "\n"
				link("dev/block/"+f[3], devpath)
			}
			sys[devpath+"/uevent"] = &fstest.MapFile{Data: []byte(uevent), Mode: 0o444}
			link(devpath+"/subsystem", "class/"+subsystem)
			link("class/"+subsystem+"/"+path.Base(devpath), devpath)
		}
	}
	return sys, sys
}

// A PC: root on a partition of a SATA disk, /home in LVM on NVMe, a USB stick
// that is mounted and one that is not, a spare disk, zram.
const pc = `
/devices/pci/ata1/host0/0:0:0:0 scsi -
/devices/pci/ata1/host0/0:0:0:0/block/sda block sda 8:0
/devices/pci/ata1/host0/0:0:0:0/block/sda/sda1 block sda1 8:1
/devices/pci/ata1/host0/0:0:0:0/block/sda/sda2 block sda2 8:2
/devices/pci/ata1/host0/0:0:0:0/scsi_generic/sg0 scsi_generic sg0 21:0
/devices/pci/ata1/host0/0:0:0:0/bsg/0:0:0:0 bsg bsg/0:0:0:0 250:0
link devices/pci/ata1/host0/0:0:0:0/block/sda/device devices/pci/ata1/host0/0:0:0:0
/devices/pci/nvme/nvme0 nvme nvme0 240:0
/devices/pci/nvme/nvme0/ng0n1 nvme-generic ng0n1 241:0
/devices/pci/nvme/nvme0/nvme0n1 block nvme0n1 259:0
/devices/pci/nvme/nvme0/nvme0n1/nvme0n1p1 block nvme0n1p1 259:1
/devices/pci/nvme/nvme0/nvme0n2 block nvme0n2 259:2
link devices/pci/nvme/nvme0/nvme0n1/device devices/pci/nvme/nvme0
link devices/pci/nvme/nvme0/nvme0n1/nvme0n1p1/holders/dm-0 devices/virtual/block/dm-0
/devices/virtual/block/dm-0 block dm-0 253:0
link devices/virtual/block/dm-0/slaves/nvme0n1p1 devices/pci/nvme/nvme0/nvme0n1/nvme0n1p1
file devices/virtual/block/dm-0/dm/name vg-home
/devices/pci/usb1/1-1 usb bus/usb/001/002 189:1
/devices/pci/usb1/1-1/1-1:1.0/host6/6:0:0:0 scsi -
/devices/pci/usb1/1-1/1-1:1.0/host6/6:0:0:0/block/sdb block sdb 8:16
/devices/pci/usb1/1-1/1-1:1.0/host6/6:0:0:0/block/sdb/sdb1 block sdb1 8:17
/devices/pci/usb1/1-1/1-1:1.1/ttyUSB0/tty/ttyUSB0 tty ttyUSB0 188:0
link devices/pci/usb1/1-1/1-1:1.0/host6/6:0:0:0/block/sdb/device devices/pci/usb1/1-1/1-1:1.0/host6/6:0:0:0
/devices/pci/usb1/1-2 usb bus/usb/001/003 189:2
/devices/pci/usb1/1-2/1-2:1.0/host7/7:0:0:0 scsi -
/devices/pci/usb1/1-2/1-2:1.0/host7/7:0:0:0/block/sdc block sdc 8:32
/devices/pci/usb1/1-2/1-2:1.0/host7/7:0:0:0/block/sdc/sdc1 block sdc1 8:33
/devices/pci/usb1/1-2/1-2:1.0/host7/7:0:0:0/scsi_generic/sg2 scsi_generic sg2 21:2
link devices/pci/usb1/1-2/1-2:1.0/host7/7:0:0:0/block/sdc/device devices/pci/usb1/1-2/1-2:1.0/host7/7:0:0:0
/devices/pci/ata2/host1/1:0:0:0 scsi -
/devices/pci/ata2/host1/1:0:0:0/block/sdd block sdd 8:48
/devices/pci/ata2/host1/1:0:0:0/block/sdd/sdd1 block sdd1 8:49
/devices/virtual/block/zram0 block zram0 252:0
/devices/virtual/block/zram1 block zram1 252:1
/devices/virtual/block/loop0 block loop0 7:0
file devices/virtual/block/loop0/loop/backing_file /dev/sdd1
/devices/virtual/block/loop1 block loop1 7:1
file devices/virtual/block/loop1/loop/backing_file /var/lib/disk.img
/devices/virtual/tty/console tty console 5:1
/devices/virtual/tty/tty tty tty 5:0
/devices/virtual/tty/tty1 tty tty1 4:1
/devices/virtual/vc/vcsa1 vc vcsa1 7:129
file devices/virtual/tty/console/active tty0 ttyS0
/devices/pnp0/00:05/tty/ttyS0 tty ttyS0 4:64
/devices/pnp0/00:06/tty/ttyS1 tty ttyS1 4:65
/devices/virtual/mem/null mem null 1:3
/devices/virtual/mem/mem mem mem 1:1
/devices/virtual/mem/kmsg mem kmsg 1:11
/devices/virtual/mem/port mem port 1:4
/devices/virtual/misc/watchdog misc watchdog 10:130
/devices/platform/wdt/watchdog/watchdog0 watchdog watchdog0 248:0
/devices/virtual/misc/uinput misc uinput 10:223
/devices/virtual/misc/kvm misc kvm 10:232
/devices/platform/spi/mtd/mtd0 mtd mtd0 90:0
/devices/platform/spi/mtd/mtd0/mtdblock0 block mtdblock0 31:0
/devices/platform/ipmi/ipmi/ipmi0 ipmi ipmi0 236:0
/devices/pci/video4linux/video0 video4linux video0 81:0
file fs/ext4/features/x y
file fs/ext4/sdc1/x y
`

const mountTable = `22 1 0:21 / /proc rw - proc proc rw
27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
28 1 8:2 /var /mnt/with\040space rw - ext4 /dev/sda2 rw
29 1 253:0 / /home rw - ext4 /dev/mapper/vg-home rw
30 1 8:17 / /mnt/usb rw - vfat /dev/sdb1 rw
31 1 7:0 / /srv rw - xfs /dev/loop0 rw
32 1 0:44 / /pods rw - overlay overlay rw,lowerdir=/x:/y
garbage - -
`

func TestWhy(t *testing.T) {
	sys, _ := tree(t, pc)
	file := filepath.Join(t.TempDir(), "mounts")
	if err := os.WriteFile(file, []byte(mountTable), 0o600); err != nil {
		t.Fatal(err)
	}
	proc := fstest.MapFS{
		"self/mountinfo": {Data: []byte("40 1 0:50 / / ro - overlay overlay ro\n41 40 8:2 /var/lib/akri /var/lib/akri rw - ext4 /dev/sda2 rw\n")},
		"swaps":          {Data: []byte("Filename Type Size Used Priority\n/dev/zram1 partition 65532 0 -2\n/swap\\040file file 1 0 -3\n")},
	}
	v := sysfs.New(sys, nil).View()
	all := func(n *Node) map[string]string {
		why := map[string]string{}
		tree := sysfs.New(sys, nil)
		if err := tree.Devices(func(ref sysfs.Ref) {
			d := v.Device(ref)
			if w := n.Why(v, d); w != "" {
				why[strings.TrimPrefix(d.Devnode(), "/dev/")] = w
			}
		}); err != nil {
			t.Fatal(err)
		}
		return why
	}
	always := map[string]string{
		"zram1": "the node swaps on it", "console": "console", "tty1": "console", "vcsa1": "console", "ttyS0": "kernel's console",
		"mem": "memory", "kmsg": "log", "port": "I/O", "watchdog": "restart", "watchdog0": "restart", "uinput": "types",
		"mtd0": "firmware", "mtdblock0": "firmware", "ipmi0": "switch",
		// Others lie on these, mounted or not.
		"nvme0n1": "/dev/dm-0 lies on /dev/nvme0n1p1", "nvme0n1p1": "dm-0",
		// The handler's own mounts.
		"sda2": "mounted at ", "sda": "one disk with /dev/sda2: the node has it mounted", "sda1": "one disk", "sg0": "leads to /dev/sda", "bsg/0:0:0:0": "leads to /dev/sda",
	}
	told := map[string]string{
		"sda2": "the node has it mounted at /", "dm-0": "mounted at /home", "nvme0n1p1": "dm-0 lies on it", "nvme0n1": "dm-0 lies on it", "nvme0": "leads to /dev/nvme0n1", "ng0n1": "leads",
		"sdb1": "/mnt/usb", "sdb": "/mnt/usb", "bus/usb/001/002": "leads to /dev/sdb", "loop0": "/srv", "sdd1": "loop0 lies on it", "sdd": "loop0",
	}
	shown := map[string]string{ // by sysfs alone: whoever has mounted it
		"sdc1": "it is mounted (ext4)", "sdc": "one disk", "sg2": "leads", "bus/usb/001/003": "leads",
	}
	for _, tt := range []struct {
		name, table string
		want        []map[string]string
	}{
		{"with the node's table", file, []map[string]string{always, told}},
		{"without", "", []map[string]string{always, shown}},
		{"with one that cannot be read", file + "x", []map[string]string{always, shown}},
	} {
		n := Look(v, Files{Proc: proc, NodeMounts: tt.table})
		if (n.Blind != nil) != strings.HasSuffix(tt.table, "x") {
			t.Errorf("%s: blind: %v", tt.name, n.Blind)
		}
		got, want := all(n), map[string]string{}
		for _, w := range tt.want {
			for k, v := range w {
				want[k] = v
			}
		}
		for node, why := range want {
			if !strings.Contains(got[node], why) {
				t.Errorf("%s: %s: got %q, want %q", tt.name, node, got[node], why)
			}
			delete(got, node)
		}
		for node, why := range got {
			t.Errorf("%s: %s is left out: %s", tt.name, node, why)
		}
		if !n.Same(Look(v, Files{Proc: proc, NodeMounts: tt.table})) {
			t.Errorf("%s: a second look differs", tt.name)
		}
	}
}

// File systems over several disks have no device number.
func TestSeveralDisks(t *testing.T) {
	sys, files := tree(t, `
/devices/a/block/vda block vda 254:0
/devices/b/block/vdb block vdb 254:16
/devices/c/block/vdc block vdc 254:32
/devices/d/block/vdd block vdd 254:48
/devices/e/block/vde block vde 254:64
link fs/btrfs/uuid/devices/vda devices/a/block/vda
link fs/btrfs/uuid/devices/vdb devices/b/block/vdb
`)
	files["devices/e/block/vde/uevent"].Data = append(files["devices/e/block/vde/uevent"].Data, "ID_FS_TYPE=zfs_member\n"...)
	v := sysfs.New(sys, nil).View()
	n := Look(v, Files{Proc: fstest.MapFS{"self/mountinfo": {Data: []byte("1 1 0:30 / / rw - btrfs /dev/vda rw\n2 1 0:31 / /x rw - bcachefs /dev/vdc:/dev/nothing rw\n")}}})
	for name, want := range map[string]string{"vda": "mounted at /", "vdb": "one file system with /dev/vda", "vdc": "mounted at /x", "vdd": "", "vde": "pool (zfs_member)"} {
		if got := n.Why(v, v.Block(name)); got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What this machine itself says: its root disk is in use.
func TestThisMachine(t *testing.T) {
	sys, ok := os.DirFS("/sys").(fs.ReadLinkFS)
	if _, err := os.Stat("/sys/class/block"); err != nil || !ok {
		t.Skip("this machine has no sysfs")
	}
	v := sysfs.New(sys, nil).View()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Skip(err)
	}
	n := Look(v, Files{Proc: os.DirFS("/proc")})
	for _, m := range parseMounts(table) {
		if d := v.BlockNumber(m.Number); m.Point == "/" && d != nil {
			if why := n.Why(v, d); !strings.Contains(why, "mounted at /") {
				t.Errorf("%s is the root's: %q", d.Devnode(), why)
			}
		}
	}
}

func FuzzTables(f *testing.F) {
	f.Add([]byte(mountTable))
	f.Add([]byte("/dev/a\\04 partition"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range parseMounts(b) {
			if m.Number == "" || m.Source == "" {
				t.Errorf("%+v", m)
			}
		}
		_ = fmt.Sprint(parseSwaps(b))
	})
}
