// Package sysfs reads the devices of a node from /sys, and what udevd has
// recorded about them from /run/udev/data.
//
// A [Tree] has the two file systems. A [View] reads devices of the tree: each
// file once, when it is needed. A view is used for one decision and dropped, so
// that what it holds does not get old. A [Device] is one device of a view. Its
// devpath is its path below /sys, such as "/devices/virtual/mem/null".
package sysfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Ref refers to a device by its devpath and subsystem.
type Ref struct {
	Devpath   string
	Subsystem string
}

// Tree is the devices of a node.
type Tree struct {
	sys fs.ReadLinkFS // rooted at /sys
	db  fs.FS         // rooted at /run/udev/data; nil if there is none
}

// New returns the tree of a sysfs, usually os.DirFS("/sys"), and of udevd's
// records, which may be nil.
func New(sys fs.ReadLinkFS, records fs.FS) *Tree { return &Tree{sys: sys, db: records} }

// Devices calls yield for each device, in no particular order: for all links in
// class/*, bus/*/devices and, on old kernels, block.
func (t *Tree) Devices(yield func(Ref)) error {
	classes, err := fs.ReadDir(t.sys, "class")
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, c := range classes {
		t.links("class/"+c.Name(), c.Name(), yield)
	}
	if _, err := fs.Stat(t.sys, "class/block"); errors.Is(err, fs.ErrNotExist) {
		t.links("block", "block", yield)
	}
	buses, err := fs.ReadDir(t.sys, "bus")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, b := range buses {
		t.links("bus/"+b.Name()+"/devices", b.Name(), yield)
	}
	return nil
}

// links calls yield for the devices to which the links in a folder point.
// Folders and links that are gone by now are skipped.
func (t *Tree) links(folder, subsystem string, yield func(Ref)) {
	entries, _ := fs.ReadDir(t.sys, folder)
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		if devpath, ok := t.target(folder, e.Name()); ok {
			yield(Ref{devpath, subsystem})
		}
	}
}

// target follows a link to a device.
func (t *Tree) target(folder, name string) (devpath string, ok bool) {
	to, err := t.sys.ReadLink(folder + "/" + name)
	if err != nil || path.IsAbs(to) {
		return "", false
	}
	p := path.Join(folder, to)
	return "/" + p, strings.HasPrefix(p, "devices/")
}

// Subsystem returns the subsystem of a device; ok is false if there is no such
// device. Other things in /sys that send uevents have no subsystem.
func (t *Tree) Subsystem(devpath string) (subsystem string, ok bool) {
	s := t.linkName(devpath, "subsystem")
	return s, s != ""
}

// linkName returns the last element of the target of a device's link, or "".
func (t *Tree) linkName(devpath, link string) string {
	to, err := t.sys.ReadLink(fsPath(devpath) + "/" + link)
	if err != nil {
		return ""
	}
	return path.Base(to)
}

// fsPath returns the path of a devpath in the file system.
func fsPath(devpath string) string { return strings.TrimPrefix(devpath, "/") }

// maxAttrBytes is how much of an attribute is read: a page, which is the
// longest text that the kernel returns.
const maxAttrBytes = 4096

// read reads the beginning of a file.
func read(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// Recorded tells whether there are records of udevd.
func (t *Tree) Recorded() bool {
	if t.db == nil {
		return false
	}
	_, err := fs.Stat(t.db, ".")
	return err == nil
}

// record reads udevd's record with an id, such as "c81:0".
func (t *Tree) record(id string) (Record, bool) {
	b, err := read(t.db, id, maxRecordBytes)
	if err != nil {
		return Record{}, false
	}
	return ParseRecord(b), true
}

// DevpathOf returns the device of a record by the record's name; ok is false if
// that is not the name of a record, or the device is gone.
func (t *Tree) DevpathOf(record string) (devpath string, ok bool) {
	if len(record) < 2 || strings.Contains(record, "/") {
		return "", false
	}
	switch rest := record[1:]; record[0] {
	case 'c':
		return t.target("dev/char", rest)
	case 'b':
		return t.target("dev/block", rest)
	case 'n':
		interfaces, _ := fs.ReadDir(t.sys, "class/net")
		for _, i := range interfaces {
			b, err := read(t.sys, "class/net/"+i.Name()+"/ifindex", maxAttrBytes)
			if err == nil && strings.TrimSpace(string(b)) == rest {
				return t.target("class/net", i.Name())
			}
		}
	case '+':
		subsystem, name, _ := strings.Cut(rest, ":")
		if subsystem == "" || name == "" || subsystem[0] == '.' || name[0] == '.' {
			return "", false
		}
		if devpath, ok = t.target("bus/"+subsystem+"/devices", name); !ok {
			devpath, ok = t.target("class/"+subsystem, name)
		}
	}
	return devpath, ok
}
