// Package identity identifies a device by its place or its serial number. Both
// stay the same when the kernel gives the device another name.
//
// The kernel numbers most devices in the order in which it finds them: what was
// ttyUSB0 on bus usb1 may be ttyUSB1 on usb3 after the next boot. The place
// leaves out such numbers and keeps what the hardware defines: PCI addresses,
// USB ports and interfaces, SCSI targets, partitions.
package identity

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// Place returns the place of a device, such as
// "pci0000:00/0000:00:14.0/usb2/3/1.0/ttyUSB/tty/ttyUSB": its devpath without
// the numbers that depend on the order of discovery. Siblings that would look
// the same get numbers, except the first; their driver decides the order. The
// place of a device without hardware (below /devices/virtual) is its name.
func Place(v *sysfs.View, d *sysfs.Device) string {
	return strings.Join(place(v, d.Devpath()), "/")
}

func place(v *sysfs.View, devpath string) []string {
	names := strings.Split(strings.TrimPrefix(devpath, "/devices/"), "/")
	if names[0] == "virtual" {
		return names
	}
	out := make([]string, len(names))
	at := "/devices"
	for i, name := range names {
		at += "/" + name
		out[i] = name
		if _, isDevice := v.At(at).Attr("uevent"); i > 0 && isDevice {
			out[i] = element(v, v.At(at), name)
		}
	}
	return out
}

// element returns the fixed part of the name of a device.
func element(v *sysfs.View, d *sysfs.Device, name string) string {
	attr := func(name string) string {
		s, _ := d.Attr(name)
		return strings.TrimSpace(s)
	}
	switch d.Subsystem() {
	case "pci", "platform", "acpi", "pnp", "amba", "vmbus", "css", "ccw", "isa", "spi":
		return name // addresses, or what firmware says
	case "usb":
		if _, interfaced, ok := strings.Cut(name, ":"); ok {
			return interfaced
		}
		if _, ports, ok := strings.Cut(name, "-"); ok {
			return ports
		}
		if strings.HasPrefix(name, "usb") {
			// A controller has a bus for USB 2 and one for USB 3, with ports of
			// their own: products 0002 and 0003 of the Linux Foundation.
			return "usb" + strings.TrimLeft(attr("idProduct"), "0")
		}
	case "scsi":
		if host, address, ok := strings.Cut(name, ":"); ok {
			return strings.TrimRight(host, "0123456789") + ":" + address
		}
	case "mmc":
		if _, address, ok := strings.Cut(name, ":"); ok {
			return "mmc:" + address
		}
	case "i2c":
		if _, address, ok := strings.Cut(name, "-"); ok && !strings.HasPrefix(name, "i2c-") {
			return address
		}
	case "hid":
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			return name[:i]
		}
	case "block":
		if n := attr("partition"); n != "" {
			return "part" + n
		}
	case "video4linux":
		if n := attr("index"); n != "" {
			return "index" + n
		}
	case "usb-serial":
		if n := attr("port_number"); n != "" {
			return "port" + n
		}
	}
	return ranked(v, d, name)
}

// ranked returns a name without its numbers, and its rank among its siblings.
func ranked(v *sysfs.View, d *sysfs.Device, name string) string {
	kind := masked(d.Subsystem(), name)
	var siblings []string
	for _, s := range v.List(strings.TrimPrefix(path.Dir(d.Devpath()), "/")) {
		if masked(d.Subsystem(), s) == kind && v.At(path.Dir(d.Devpath())+"/"+s).Subsystem() == d.Subsystem() {
			siblings = append(siblings, s)
		}
	}
	slices.SortFunc(siblings, compareNatural)
	if rank := slices.Index(siblings, name); rank > 0 {
		return kind + "." + strconv.Itoa(rank)
	}
	return kind
}

// masked returns a name without its numbers.
func masked(subsystem, name string) string {
	switch {
	case subsystem == "net": // udevd renames interfaces
		return "interface"
	case strings.HasPrefix(name, "i2c-"):
		return "i2c"
	case subsystem == "block":
		for _, kind := range []string{"sd", "vd", "hd", "xvd"} { // these count in letters
			if rest, ok := strings.CutPrefix(name, kind); ok && rest != "" && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") == "" {
				return kind
			}
		}
	}
	kind := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, name)
	return cmp.Or(kind, "n")
}

// compareNatural orders names by their numbers: tty2 before tty10.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		i, j := digits(a), digits(b)
		if i > 0 && j > 0 {
			x, y := strings.TrimLeft(a[:i], "0"), strings.TrimLeft(b[:j], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[i:], b[j:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits returns how many there are at the beginning of s.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// Serial identifies a device by its serial number, as in
// "0403:6001:FT0ABC/1.0/port0/tty/ttyUSB": vendor, product and serial number of
// the hardware, and the device's place in it. owner is the devpath of that
// hardware. Both are empty if there is no serial number.
//
// The hardware is the USB device, or else the nearest ancestor with a serial
// number or a world-wide id, such as a disk or an NVMe controller.
func Serial(v *sysfs.View, d *sysfs.Device) (serial, owner string) {
	h, number := hardware(d)
	if h == nil {
		return "", ""
	}
	name := strings.Join([]string{first(h, "idVendor", "vendor", "manfid"), first(h, "idProduct", "model", "name"), number}, ":")
	within := place(v, d.Devpath())[strings.Count(h.Devpath(), "/")-1:]
	return strings.Join(append([]string{name}, within...), "/"), h.Devpath()
}

// hardware returns the hardware with the serial number of a device; nil if
// there is none.
func hardware(d *sysfs.Device) (at *sysfs.Device, number string) {
	var nearest *sysfs.Device
	for ; d != nil; d = d.Ancestor() {
		if _, isUSB := d.Attr("idVendor"); isUSB {
			// Serial numbers of its parts are often the same for all of their
			// kind, and that of a root hub is the address of its controller.
			number = first(d, "serial")
			if number == "" || strings.HasPrefix(d.Kernel(), "usb") {
				return nil, ""
			}
			return d, number
		}
		if nearest == nil {
			if n := first(d, "serial", "wwid"); n != "" {
				nearest, number = d, n
			}
		}
	}
	return nearest, number
}

// first returns the first of several attributes that is not empty.
func first(d *sysfs.Device, attrs ...string) string {
	for _, name := range attrs {
		if s, _ := d.Attr(name); clean(s) != "" {
			return clean(s)
		}
	}
	return ""
}

// clean makes one printable word of an attribute.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), "_"))
	return strings.Join(strings.Fields(s), "_")
}
