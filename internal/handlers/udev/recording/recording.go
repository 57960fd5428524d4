// Package recording records the devices of a machine, with all that a rule can
// see of them, and reads recordings. They are for bug reports and for tests of
// rules.
//
// A recording is text, one device after the other:
//
//	akri devices 1
//	D /devices/pci0000:00/0000:00:14.0/usb1/1-3     the devpath
//	S bus usb                                       subsystem: a bus or a class
//	V usb                                           driver
//	U DEVTYPE=usb_device                            a property of the kernel
//	A idVendor=0403                                 an attribute
//	L iommu_group=7                                 a link to something else
//	L device=/devices/pci0000:00/0000:00:1d.0       a link to a device
//	R E:ID_BUS=usb                                  a line of udevd's record
//	M 8:1 / /dev/sda1                               a mount: number, path, source
//	W /dev/sda2                                     what is swapped on
//
// Values that would break their line are quoted as in Go.
package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const header = "akri devices 1"

// Recording is a recorded machine.
type Recording struct {
	Devices []Device
	Mounts  []Mount
	Swaps   []string // device nodes
}

// Device is a device of a recording.
type Device struct {
	Devpath   string
	Bus       bool // the subsystem is a bus, else a class
	Subsystem string
	Driver    string
	Uevent    []string
	Attrs     map[string]string
	Links     map[string]string // a devpath, or the last element of a path
	Record    []string
}

// Mount is a line of the table of mounts.
type Mount struct {
	Number, Point, Source string
}

// Limits of recordings, which come from other people.
const (
	maxLines     = 1 << 20
	maxLineBytes = 256 << 10
)

// Write writes a recording.
func (r *Recording) Write(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, header)
	for _, d := range r.Devices {
		fmt.Fprintf(w, "D %s\n", quote(d.Devpath))
		if d.Subsystem != "" {
			kind := "class"
			if d.Bus {
				kind = "bus"
			}
			fmt.Fprintf(w, "S %s %s\n", kind, quote(d.Subsystem))
		}
		if d.Driver != "" {
			fmt.Fprintf(w, "V %s\n", quote(d.Driver))
		}
		for _, line := range d.Uevent {
			fmt.Fprintf(w, "U %s\n", quote(line))
		}
		for _, name := range slices.Sorted(maps.Keys(d.Attrs)) {
			fmt.Fprintf(w, "A %s=%s\n", name, quote(d.Attrs[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(d.Links)) {
			fmt.Fprintf(w, "L %s=%s\n", name, quote(d.Links[name]))
		}
		for _, line := range d.Record {
			fmt.Fprintf(w, "R %s\n", quote(line))
		}
	}
	for _, m := range r.Mounts {
		fmt.Fprintf(w, "M %s %s %s\n", m.Number, m.Point, m.Source)
	}
	for _, s := range r.Swaps {
		fmt.Fprintf(w, "W %s\n", s)
	}
	return w.Flush()
}

// quote quotes a text if it would break its line, or looks quoted.
func quote(s string) string {
	if q := strconv.Quote(s); strings.HasPrefix(s, `"`) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return q
	}
	return s
}

func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	return strconv.Unquote(s)
}

// Read reads a recording.
func Read(in io.Reader) (*Recording, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLineBytes)
	r := &Recording{}
	if !lines.Scan() || strings.TrimSpace(lines.Text()) != header {
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("recording: %w", err)
		}
		return nil, fmt.Errorf("recording: it does not begin with %q; akri discover --record writes recordings", header)
	}
	for n := 2; lines.Scan(); n++ {
		if n > maxLines {
			return nil, fmt.Errorf("recording: more than %d lines", maxLines)
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("recording: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return r, nil
}

func (r *Recording) line(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "D":
		devpath, err := unquote(rest)
		if err != nil || !validPath(devpath) {
			return fmt.Errorf("%q is not a devpath", rest)
		}
		r.Devices = append(r.Devices, Device{Devpath: devpath, Attrs: map[string]string{}, Links: map[string]string{}})
		return nil
	case "M":
		f := strings.Fields(rest)
		if len(f) != 3 {
			return errors.New("a mount has a number, a path and a source")
		}
		r.Mounts = append(r.Mounts, Mount{f[0], f[1], f[2]})
		return nil
	case "W":
		r.Swaps = append(r.Swaps, rest)
		return nil
	}
	if len(r.Devices) == 0 {
		return errors.New("there is no device before it")
	}
	return r.Devices[len(r.Devices)-1].line(kind, rest)
}

func (d *Device) line(kind, rest string) error {
	name, value := "", rest
	switch kind {
	case "A", "L":
		var ok bool
		if name, value, ok = strings.Cut(rest, "="); !ok || !validName(name) {
			return fmt.Errorf("%q is not a name and a value", rest)
		}
	case "S":
		name, value, _ = strings.Cut(rest, " ")
	}
	value, err := unquote(value)
	if err != nil {
		return fmt.Errorf("%q is not quoted correctly", value)
	}
	switch kind {
	case "S":
		if d.Subsystem, d.Bus = value, name == "bus"; !validWord(value) || !d.Bus && name != "class" {
			return fmt.Errorf("%q is neither a bus nor a class", rest)
		}
	case "V":
		if d.Driver = value; !validWord(value) {
			return fmt.Errorf("%q is not the name of a driver", rest)
		}
	case "U":
		d.Uevent = append(d.Uevent, value)
	case "A":
		d.Attrs[name] = value
	case "L":
		if !validWord(value) && !validPath(value) {
			return fmt.Errorf("%q is not the target of a link", rest)
		}
		d.Links[name] = value
	case "R":
		d.Record = append(d.Record, value)
	default:
		return fmt.Errorf("no line of a recording begins with %q", kind)
	}
	return nil
}
