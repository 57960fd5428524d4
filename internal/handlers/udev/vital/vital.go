// Package vital finds out which devices the node itself needs, so that
// containers must not get them: the disks that it has mounted or swaps on, with
// their parts and the disks they consist of, and the device nodes that give
// access to the node's memory, console, firmware or power switch.
//
// [Look] reads what is in use now; [Node.Why] tells why the node needs a
// device. No privileges are needed: the node's table of mounts is a file that
// anybody may read ([Files.NodeMounts]). Without that file, the kernel's list
// of file systems is used. It has the disks of ext4, xfs, btrfs, f2fs, bcachefs
// and erofs, whoever has mounted them, but not those of vfat.
package vital

import (
	"cmp"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// Files say where to read what is in use.
type Files struct {
	// Proc is a proc file system; its self/mountinfo and swaps are read.
	Proc fs.FS
	// NodeMounts is a file with the node's table of mounts, the node's
	// /proc/1/mountinfo; "" if there is none.
	NodeMounts string
}

// Node is what the node needed when Look was called.
type Node struct {
	// Blind is why the node's table of mounts could not be read; nil if it was
	// read or if there is none.
	Blind error

	used        []use // block devices in use, sorted, each devpath once
	controllers []use // what leads to them another way
	consoles    []string
}

// use is a device, and why the node needs it.
type use struct {
	devpath, why string
	below        bool // of a controller: and what is below it
}

// Same tells whether two Nodes are the same.
func (n *Node) Same(o *Node) bool {
	return slices.Equal(n.used, o.used) && slices.Equal(n.controllers, o.controllers) && slices.Equal(n.consoles, o.consoles) &&
		(n.Blind == nil) == (o.Blind == nil)
}

// Look reads what is in use.
func Look(v *sysfs.View, files Files) *Node {
	l := look{View: v, seen: map[string]string{}}
	n := &Node{}
	own, _ := fs.ReadFile(files.Proc, "self/mountinfo")
	table := parseMounts(own)
	known := false
	if files.NodeMounts != "" {
		b, err := openFile(files.NodeMounts)
		if known = err == nil; known {
			table = append(table, parseMounts(b)...)
		}
		n.Blind = err
	}
	l.mounts(table)
	l.btrfs()
	if !known {
		l.fileSystems()
	}
	swaps, _ := fs.ReadFile(files.Proc, "swaps")
	for _, node := range parseSwaps(swaps) {
		l.add(l.node(node), "the node swaps on it")
	}
	for devpath, why := range l.seen {
		n.used = append(n.used, use{devpath: devpath, why: why})
	}
	sortUses(n.used)
	n.controllers = l.controllers(n.used)
	if d := l.At("/devices/virtual/tty/console"); d != nil {
		active, _ := d.Attr("active")
		n.consoles = strings.Fields(active)
	}
	return n
}

func sortUses(uses []use) {
	slices.SortFunc(uses, func(a, b use) int {
		return cmp.Or(strings.Compare(a.devpath, b.devpath), strings.Compare(a.why, b.why))
	})
}

// look collects block devices that are in use.
type look struct {
	*sysfs.View
	seen map[string]string // why, by devpath
}

// add notes a block device, and those that it consists of.
func (l *look) add(d *sysfs.Device, why string) {
	if d == nil {
		return
	}
	if old, ok := l.seen[d.Devpath()]; ok && !(len(why) < len(old)) {
		return
	}
	l.seen[d.Devpath()] = why
	disk := diskOf(d)
	for _, of := range []*sysfs.Device{d, disk} {
		for _, below := range of.Names("slaves") {
			l.add(l.Block(below), "/dev/"+d.Kernel()+" lies on it")
		}
	}
	if file, _ := disk.Attr("loop/backing_file"); strings.HasPrefix(file, "/dev/") {
		l.add(l.node(file), "/dev/"+d.Kernel()+" lies on it")
	}
}

func (l *look) mounts(table []Mount) {
	// Of many mounts of one device that with the shortest path says most.
	slices.SortStableFunc(table, func(a, b Mount) int {
		return cmp.Or(cmp.Compare(len(a.Point), len(b.Point)), strings.Compare(a.Point, b.Point))
	})
	for _, m := range table {
		why := "the node has it mounted at " + m.Point
		if !strings.HasPrefix(m.Number, "0:") {
			l.once(l.BlockNumber(m.Number), why)
		}
		// Of file systems over several disks the number says nothing.
		for source := range strings.SplitSeq(m.Source, ":") {
			if strings.HasPrefix(source, "/dev/") {
				l.once(l.node(source), why)
			}
		}
	}
}

// once is add for a device that is not known yet.
func (l *look) once(d *sysfs.Device, why string) {
	if d != nil && l.seen[d.Devpath()] == "" {
		l.add(d, why)
	}
}

// fileSystems adds the disks that the kernel shows as mounted, whoever has
// mounted them.
func (l *look) fileSystems() {
	for _, kind := range []string{"ext4", "xfs", "f2fs", "erofs"} {
		for _, name := range l.List("fs/" + kind) {
			l.once(l.Block(name), "it is mounted ("+kind+")")
		}
	}
	for _, kind := range []string{"btrfs", "bcachefs"} {
		for _, id := range l.List("fs/" + kind) {
			for _, name := range l.List("fs/" + kind + "/" + id + "/devices") {
				l.once(l.Block(name), "it is mounted ("+kind+")")
			}
		}
	}
}

// btrfs adds all disks of a file system if one of them is in use: a table of
// mounts names only one.
func (l *look) btrfs() {
	for _, id := range l.List("fs/btrfs") {
		names := l.List("fs/btrfs/" + id + "/devices")
		for _, name := range names {
			d := l.Block(name)
			if d == nil || l.seen[d.Devpath()] == "" {
				continue
			}
			for _, other := range names {
				l.once(l.Block(other), "it is of one file system with /dev/"+name)
			}
			break
		}
	}
}

// node returns the block device of a device node, or nil.
func (l *look) node(node string) *sysfs.Device {
	name := strings.TrimSuffix(strings.TrimPrefix(node, "/dev/"), " (deleted)")
	if mapped, ok := strings.CutPrefix(name, "mapper/"); ok {
		for _, dm := range l.List("class/block") {
			if d := l.Block(dm); strings.HasPrefix(dm, "dm-") && d != nil {
				if called, _ := d.Attr("dm/name"); called == mapped {
					return d
				}
			}
		}
	}
	return l.Block(strings.ReplaceAll(name, "/", "!"))
}

// controllers returns the hardware of disks that are in use: its other device
// nodes (SCSI generic, NVMe controller, USB device) give access to the disk.
func (l *look) controllers(used []use) []use {
	var controllers []use
	for _, u := range used {
		disk := diskOf(l.At(u.devpath))
		hardware := disk.Linked("device")
		if hardware == "" {
			continue
		}
		why := "it leads to /dev/" + disk.Kernel() + ", which is in use"
		controllers = append(controllers, use{devpath: hardware, why: why, below: true})
		for at := l.At(hardware); at != nil; at = at.Ancestor() {
			if at.Devnode() != "" {
				controllers = append(controllers, use{devpath: at.Devpath(), why: why})
				break
			}
		}
	}
	sortUses(controllers)
	return slices.CompactFunc(controllers, func(a, b use) bool { return a.devpath == b.devpath })
}

// diskOf returns the disk of which a block device is a part, or itself.
func diskOf(d *sysfs.Device) *sysfs.Device {
	for up := d.Ancestor(); up != nil && up.Subsystem() == "block"; up = up.Ancestor() {
		d = up
	}
	return d
}

// MadeOf returns the disks that a block device consists of: those of its slaves.
func MadeOf(v *sysfs.View, devpath string) []string {
	var disks []string
	for _, name := range v.At(devpath).Names("slaves") {
		if d := v.Block(name); d != nil {
			disks = append(disks, diskOf(d).Devpath())
		}
	}
	return disks
}

// Why tells why the node needs a device; "" if it does not. A device without a
// device node does not count, because it cannot be opened.
func (n *Node) Why(v *sysfs.View, d *sysfs.Device) string {
	switch {
	case d.Devnode() == "":
		return ""
	case d.Subsystem() == "block":
		return n.whyBlock(v, d)
	}
	name := d.Kernel()
	for _, k := range kinds {
		if k.subsystem == d.Subsystem() && numbered(name, k.name) {
			return k.why
		}
	}
	if d.Subsystem() == "tty" && slices.Contains(n.consoles, name) {
		return "the kernel's console is there"
	}
	for _, c := range n.controllers {
		if d.Devpath() == c.devpath || c.below && strings.HasPrefix(d.Devpath(), c.devpath+"/") {
			return c.why
		}
	}
	// With multipath a disk's folder is not below its controllers'.
	if d.Subsystem() == "nvme" && slices.ContainsFunc(n.controllers, func(u use) bool { return strings.Contains(u.devpath, "/nvme-subsystem/") }) {
		return "it leads to a disk that is in use"
	}
	return ""
}

func (n *Node) whyBlock(v *sysfs.View, d *sysfs.Device) string {
	if strings.HasPrefix(d.Kernel(), "mtdblock") {
		return firmware
	}
	disk := diskOf(d)
	for _, u := range n.used {
		switch {
		case u.devpath == d.Devpath():
			return u.why
		case u.devpath == disk.Devpath(), strings.HasPrefix(u.devpath, disk.Devpath()+"/"):
			return "it is one disk with /dev/" + v.At(u.devpath).Kernel() + ": " + u.why
		}
	}
	parts := []*sysfs.Device{disk}
	for _, name := range disk.Names(".") {
		if part := v.At(disk.Devpath() + "/" + name); strings.HasPrefix(name, disk.Kernel()) && part.Subsystem() == "block" {
			parts = append(parts, part)
		}
	}
	for _, part := range parts {
		if holders := part.Names("holders"); len(holders) > 0 {
			return "/dev/" + holders[0] + " lies on /dev/" + part.Kernel()
		}
		// These leave no other trace.
		if kind, _ := part.Property("ID_FS_TYPE"); kind == "zfs_member" || kind == "ceph_bluestore" {
			return "/dev/" + part.Kernel() + " is part of a pool (" + kind + ")"
		}
	}
	return ""
}

const firmware = "it is the node's flash memory, where firmware is"

// kinds are device nodes with which one can control or stop the node, by the
// beginning of their name; a number may follow.
var kinds = [...]struct{ subsystem, name, why string }{
	{"mem", "mem", "it is the node's memory"},
	{"mem", "kmem", "it is the kernel's memory"},
	{"mem", "oldmem", "it is the kernel's memory"},
	{"mem", "port", "it is the node's I/O ports"},
	{"mem", "kmsg", "it is the kernel's log"},
	{"tty", "console", "it is the node's console"},
	{"tty", "tty#", "it is a console of the node"},
	{"vc", "vcs", "it shows a console of the node"},
	{"vc", "vcsa", "it shows a console of the node"},
	{"vc", "vcsu", "it shows a console of the node"},
	{"misc", "watchdog", "it can restart the node"},
	{"watchdog", "watchdog", "it can restart the node"},
	{"misc", "uinput", "it types on the node's console"},
	{"misc", "uhid", "it types on the node's console"},
	{"misc", "nvram", "it holds the node's firmware settings"},
	{"misc", "snapshot", "it is the node's memory"},
	{"msr", "msr", "it controls the node's processors"},
	{"mtd", "mtd", firmware},
	{"ipmi", "ipmi", "it can switch the node off"},
}

// numbered tells whether a name is that of a kind, maybe followed by a number.
// If the kind ends in #, a number must follow.
func numbered(name, kind string) bool {
	kind, must := strings.CutSuffix(kind, "#")
	rest, ok := strings.CutPrefix(name, kind)
	if !ok || rest == "" {
		return ok && !must
	}
	_, err := strconv.ParseUint(strings.TrimSuffix(rest, "ro"), 10, 32)
	return err == nil
}
