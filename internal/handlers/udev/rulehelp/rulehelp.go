// Package rulehelp shows what a udev rule can say about a device, and proposes
// rules.
package rulehelp

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// Machine has the devices of a machine.
type Machine struct {
	Tree *sysfs.Tree
}

// ErrNoDevice says that there is no device with that name.
var ErrNoDevice = errors.New("no such device")

// Find returns a device by its device node, a folder below /sys, or its devpath.
func (m Machine) Find(v *sysfs.View, name string) (*sysfs.Device, error) {
	devpath := strings.TrimPrefix(path.Clean(name), "/sys")
	var found *sysfs.Device
	err := m.Tree.Devices(func(ref sysfs.Ref) {
		d := v.Device(ref)
		// A folder such as /sys/class/tty/ttyUSB0 is a link to the device's.
		class, bus := "/class/"+ref.Subsystem+"/"+path.Base(ref.Devpath), "/bus/"+ref.Subsystem+"/devices/"+path.Base(ref.Devpath)
		switch {
		case found != nil:
		case d.Devpath() == devpath, devpath == class, devpath == bus:
			found = d
		case strings.HasPrefix(name, "/dev/") && d.Devnode() == path.Clean(name):
			found = d
		case strings.HasPrefix(name, "/dev/"):
			links, _ := d.Property("DEVLINKS")
			if slices.Contains(strings.Fields(links), path.Clean(name)) {
				found = d
			}
		}
	})
	if err == nil && found == nil {
		err = fmt.Errorf("%w: %s is neither a device node, nor a folder of a device in /sys", ErrNoDevice, name)
	}
	return found, err
}

// Select returns the devices that a rule selects.
func (m Machine) Select(v *sysfs.View, r *rule.Rule) ([]*sysfs.Device, error) {
	var all []*sysfs.Device
	err := m.Tree.Devices(func(ref sysfs.Ref) {
		if d := v.Device(ref); r.Matches(d) && !slices.Contains(all, d) {
			all = append(all, d)
		}
	})
	return all, err
}

// Describe writes all that a rule can say about a device and its ancestors.
func Describe(w io.Writer, d *sysfs.Device) {
	fmt.Fprintf(w, "Of the device itself (%s):\n", d.Devpath())
	one(w, "KERNEL", d.Kernel())
	one(w, "SUBSYSTEM", d.Subsystem())
	one(w, "DRIVER", d.Driver())
	for _, p := range d.Properties() {
		one(w, "ENV{"+p.Key+"}", p.Value)
	}
	tags, _ := d.Tags()
	for _, tag := range tags {
		one(w, "TAG", tag)
	}
	attrs(w, "ATTR", d)
	for up := d.Ancestor(); up != nil; up = up.Ancestor() {
		fmt.Fprintf(w, "\nOf an ancestor (%s), all from this one block:\n", up.Devpath())
		one(w, "KERNELS", up.Kernel())
		one(w, "SUBSYSTEMS", up.Subsystem())
		one(w, "DRIVERS", up.Driver())
		attrs(w, "ATTRS", up)
	}
}

func attrs(w io.Writer, field string, d *sysfs.Device) {
	for _, name := range d.Names(".") {
		if name == "uevent" || name == "subsystem" || name == "driver" {
			continue
		}
		if value, ok := d.Attr(name); ok && printable(value) {
			one(w, field+"{"+name+"}", value)
		}
	}
}

// printable tells whether a value is text that is short enough for a rule.
func printable(s string) bool {
	return len(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

func one(w io.Writer, field, value string) {
	if value != "" && printable(value) {
		fmt.Fprintf(w, "  %s==%s\n", field, quote(value))
	}
}

// quote quotes a value so that it matches only itself, except that a | in it
// becomes a ?.
func quote(s string) string {
	s = strings.TrimRight(s, " \t")
	if strings.ContainsAny(s, "*?[|") {
		s = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "|", "?").Replace(s)
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// Suggestion is a rule that selects a device.
type Suggestion struct {
	Rule string
	Why  string
}

// Suggest proposes rules: for all devices of the same make, and for this one.
func Suggest(d *sysfs.Device) []Suggestion {
	hardware := owner(d)
	if hardware == nil {
		return []Suggestion{{"SUBSYSTEM==" + quote(d.Subsystem()) + ", KERNEL==" + quote(d.Kernel()), "this device, by its name"}}
	}
	own := kind(d)
	join := func(more ...[]string) string {
		return strings.Join(slices.Concat(append([][]string{own}, more...)...), ", ")
	}
	field := "ATTRS"
	if d == hardware {
		field = "ATTR"
	}
	match := func(names ...string) (found []string) {
		for _, name := range names {
			if v, ok := hardware.Attr(name); ok && strings.TrimSpace(v) != "" && printable(v) {
				found = append(found, field+"{"+name+"}=="+quote(v))
			}
		}
		return found
	}
	ids := match("idVendor", "idProduct")
	if len(ids) == 0 {
		ids = match("vendor", "device")
	}
	all := []Suggestion{{join(ids), "every device of this make"}}
	this := slices.Concat(ids, match("serial"))
	if len(this) > len(ids) {
		all = append(all, Suggestion{join(this), "this one, by its serial number"})
	} else {
		at := "*/" + hardware.Kernel()
		if d != hardware {
			at += "/*"
		}
		this = []string{"DEVPATH==" + `"` + at + `"`}
		all = append(all, Suggestion{join(this), "what is plugged in at this place"})
	}
	if i := usbInterface(d); i != "" {
		only := []string{`DEVPATH=="*:` + i + `/*"`}
		all = append(all, Suggestion{join(only, this), "only what belongs to this interface of it"})
	}
	return all
}

// usbInterface returns configuration and number of the USB interface of a
// device, such as "1.0", or "".
func usbInterface(d *sysfs.Device) string {
	for at := d.Ancestor(); at != nil; at = at.Ancestor() {
		if t, _ := at.Property("DEVTYPE"); t == "usb_interface" {
			_, number, _ := strings.Cut(at.Kernel(), ":")
			return number
		}
	}
	return ""
}

// kind returns the matches that select the device among those of its hardware.
func kind(d *sysfs.Device) []string {
	matches := []string{"SUBSYSTEM==" + quote(d.Subsystem())}
	switch d.Subsystem() {
	case "video4linux":
		if i, ok := d.Attr("index"); ok {
			matches = append(matches, "ATTR{index}=="+quote(i))
		}
	case "usb", "block":
		if t, _ := d.Property("DEVTYPE"); t != "" {
			matches = append(matches, "ENV{DEVTYPE}=="+quote(t))
		}
	case "drm", "sound", "input":
		// One piece of hardware has several kinds, which differ by name.
		matches = append(matches, `KERNEL=="`+starred(d.Kernel())+`"`)
	}
	return matches
}

// owner returns the USB or PCI device that a device is or belongs to, nil if
// there is none.
func owner(d *sysfs.Device) *sysfs.Device {
	for at := d; at != nil; at = at.Ancestor() {
		if _, isUSB := at.Attr("idVendor"); isUSB || at.Subsystem() == "pci" {
			return at
		}
	}
	return nil
}

// starred returns a name with a * for each number in it.
func starred(name string) string {
	var b strings.Builder
	for i, c := range []byte(name) {
		switch digit := '0' <= c && c <= '9'; {
		case !digit:
			b.WriteByte(c)
		case i == 0 || name[i-1] < '0' || name[i-1] > '9':
			b.WriteByte('*')
		}
	}
	return b.String()
}
