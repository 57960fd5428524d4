package sysfs

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/rule"
)

// View reads devices of a tree. It is not for concurrent use.
type View struct {
	tree     *Tree
	recorded bool
	devices  map[string]*Device
}

// View returns a new view.
func (t *Tree) View() *View {
	return &View{tree: t, recorded: t.Recorded(), devices: map[string]*Device{}}
}

// Device returns the device that a reference names.
func (v *View) Device(ref Ref) *Device {
	d := v.device(ref.Devpath)
	d.subsystem.set(ref.Subsystem)
	return d
}

// Block returns the block device of a name, such as "sda1", or nil.
func (v *View) Block(name string) *Device { return v.follow("class/block", name) }

// BlockNumber returns the block device of a number, such as "8:1", or nil.
func (v *View) BlockNumber(number string) *Device { return v.follow("dev/block", number) }

func (v *View) follow(folder, name string) *Device {
	if !fs.ValidPath(name) || strings.Contains(name, "/") {
		return nil
	}
	devpath, ok := v.tree.target(folder, name)
	if !ok {
		return nil
	}
	return v.Device(Ref{Devpath: devpath, Subsystem: "block"})
}

// List returns the names in a folder of sysfs, such as "fs/ext4"; none if it
// does not exist.
func (v *View) List(folder string) []string {
	entries, _ := fs.ReadDir(v.tree.sys, folder)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// At returns the device of a devpath.
func (v *View) At(devpath string) *Device { return v.device(devpath) }

func (v *View) device(devpath string) *Device {
	d := v.devices[devpath]
	if d == nil {
		d = &Device{view: v, devpath: devpath}
		v.devices[devpath] = d
	}
	return d
}

// lazy is a value that is read once.
type lazy[T any] struct {
	value T
	known bool
}

func (l *lazy[T]) set(v T) { l.value, l.known = v, true }

func (l *lazy[T]) get(read func() T) T {
	if !l.known {
		l.set(read())
	}
	return l.value
}

// Device is a device of a view. Its methods never fail: as for udevd, what
// cannot be read does not exist.
type Device struct {
	view      *View
	devpath   string
	subsystem lazy[string]
	driver    lazy[string]
	uevent    lazy[map[string]string]
	record    lazy[*Record] // nil if there is none
	parent    lazy[*Device]
}

var _ rule.Device = (*Device)(nil)

// Devpath returns the path below /sys.
func (d *Device) Devpath() string { return d.devpath }

// Kernel returns the device's name. The kernel writes a slash in it as "!".
func (d *Device) Kernel() string {
	return strings.ReplaceAll(path.Base(d.devpath), "!", "/")
}

// Subsystem returns the name of the device's class or bus, or "".
func (d *Device) Subsystem() string {
	return d.subsystem.get(func() string { return d.view.tree.linkName(d.devpath, "subsystem") })
}

// Driver returns the name of the driver that is bound to the device, or "".
func (d *Device) Driver() string {
	return d.driver.get(func() string { return d.view.tree.linkName(d.devpath, "driver") })
}

// Link returns the last element of the target of a link in the device's folder,
// such as the number of its "iommu_group", or "".
func (d *Device) Link(name string) string { return d.view.tree.linkName(d.devpath, name) }

// Linked returns the devpath to which a link in the device's folder points,
// such as "device" of a disk, or "".
func (d *Device) Linked(name string) string {
	to, _ := d.view.tree.target(fsPath(d.devpath), name)
	return to
}

// Names returns the names in a folder of the device, such as "holders"; "." is
// the device's own folder.
func (d *Device) Names(folder string) []string {
	return d.view.List(path.Join(fsPath(d.devpath), folder))
}

// Attr returns the value of an attribute as udevd sees it (sd-device.c,
// sd_device_get_sysattr_value): of links only driver, subsystem and module
// have one; folders and files that may not be read have none.
func (d *Device) Attr(name string) (string, bool) {
	file := path.Join(fsPath(d.devpath), name)
	if !strings.HasPrefix(file, "devices/") {
		return "", false
	}
	sys := d.view.tree.sys
	info, err := sys.Lstat(file)
	switch {
	case err != nil || info.IsDir():
		return "", false
	case info.Mode()&fs.ModeSymlink != 0:
		if name != "driver" && name != "subsystem" && name != "module" {
			return "", false
		}
		s := d.view.tree.linkName(d.devpath, name)
		return s, s != ""
	case info.Mode()&0o400 == 0:
		return "", false
	}
	b, err := read(sys, file, maxAttrBytes)
	if err != nil {
		return "", false
	}
	s, _, _ := strings.Cut(strings.TrimRight(string(b), "\r\n"), "\x00")
	return s, true
}

// kernelProperties are the properties of the kernel: the lines of the attribute
// uevent.
func (d *Device) kernelProperties() map[string]string {
	return d.uevent.get(func() map[string]string {
		b, err := read(d.view.tree.sys, fsPath(d.devpath)+"/uevent", maxAttrBytes)
		if err != nil {
			return nil
		}
		m := map[string]string{}
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
				m[k] = v
			}
		}
		return m
	})
}

// Devnode returns the path of the device's node, such as "/dev/null", or "".
func (d *Device) Devnode() string {
	name := strings.TrimPrefix(d.kernelProperties()["DEVNAME"], "/dev/")
	if !fs.ValidPath(name) || name == "." {
		return ""
	}
	return "/dev/" + name
}

// recordID returns the name of udevd's record of the device. sure tells that
// udevd always makes a record of it, as for all devices with a node and network
// interfaces (device_update_db in device-private.c).
func (d *Device) recordID() (id string, sure bool) {
	p := d.kernelProperties()
	if major, minor := p["MAJOR"], p["MINOR"]; major != "" && minor != "" {
		if d.Subsystem() == "block" {
			return "b" + major + ":" + minor, true
		}
		return "c" + major + ":" + minor, true
	}
	if index := p["IFINDEX"]; index != "" {
		return "n" + index, true
	}
	return "+" + d.Subsystem() + ":" + path.Base(d.devpath), false
}

// recorded returns udevd's record; missing tells that udevd has not made it yet.
func (d *Device) recorded() (r *Record, missing bool) {
	if !d.view.recorded {
		return nil, false
	}
	id, sure := d.recordID()
	r = d.record.get(func() *Record {
		if !fs.ValidPath(id) {
			return nil
		}
		if r, ok := d.view.tree.record(id); ok {
			return &r
		}
		return nil
	})
	return r, r == nil && sure
}

// Property returns a property: from udevd's record, from the kernel, or derived
// from these.
func (d *Device) Property(key string) (value string, known bool) {
	r, missing := d.recorded()
	if r != nil {
		if v, ok := r.Properties[key]; ok {
			return v, true
		}
		switch key {
		case "TAGS", "CURRENT_TAGS":
			if len(r.Tags) > 0 {
				return ":" + strings.Join(r.Tags, ":") + ":", true
			}
		case "DEVLINKS":
			if len(r.Links) > 0 {
				return "/dev/" + strings.Join(r.Links, " /dev/"), true
			}
		}
	}
	switch key {
	case "DEVPATH":
		return d.devpath, true
	case "SUBSYSTEM":
		return d.Subsystem(), true
	case "DRIVER":
		return d.Driver(), true
	case "DEVNAME":
		return d.Devnode(), true
	}
	v, ok := d.kernelProperties()[key]
	return v, ok || !missing
}

// KeyValue is a property.
type KeyValue struct{ Key, Value string }

// Properties returns all properties that the kernel or udevd has set, sorted.
func (d *Device) Properties() []KeyValue {
	all := maps.Clone(d.kernelProperties())
	if all == nil {
		all = map[string]string{}
	}
	if r, _ := d.recorded(); r != nil {
		maps.Copy(all, r.Properties)
		if links, _ := d.Property("DEVLINKS"); links != "" {
			all["DEVLINKS"] = links
		}
	}
	if _, ok := all["DEVNAME"]; ok {
		all["DEVNAME"], _ = d.Property("DEVNAME")
	}
	sorted := make([]KeyValue, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		sorted = append(sorted, KeyValue{key, all[key]})
	}
	return sorted
}

// Tags returns the tags that udevd has given the device.
func (d *Device) Tags() (tags []string, known bool) {
	r, missing := d.recorded()
	if r == nil {
		return nil, !missing
	}
	return r.Tags, true
}

// Parent returns the nearest ancestor that is a device, by udevd's definition:
// a folder below devices with a file uevent.
func (d *Device) Parent() (rule.Device, bool) {
	p := d.Ancestor()
	return p, p != nil
}

// Ancestor is Parent with its own type; nil if there is none.
func (d *Device) Ancestor() *Device {
	return d.parent.get(func() *Device {
		for p := path.Dir(d.devpath); len(p) > len("/devices"); p = path.Dir(p) {
			if known := d.view.devices[p]; known != nil {
				return known
			}
			if _, err := d.view.tree.sys.Lstat(fsPath(p) + "/uevent"); err == nil {
				return d.view.device(p)
			}
		}
		return nil
	})
}
