package recording

import (
	"io/fs"
	"path"
	"strings"
)

// validPath tells whether s is a devpath in its clean form.
func validPath(s string) bool {
	rest, ok := strings.CutPrefix(s, "/devices/")
	return ok && fs.ValidPath(rest) && rest != "."
}

// validName tells whether s can be a file below a device's folder.
func validName(s string) bool { return fs.ValidPath(s) && s != "." }

// validWord tells whether s can be one element of a path.
func validWord(s string) bool { return validName(s) && !strings.Contains(s, "/") }

// Sys returns the recorded part of the machine's sysfs.
func (r *Recording) Sys() fs.ReadLinkFS {
	f := newFiles()
	for _, folder := range []string{"class", "bus", "devices"} {
		f.add(folder, fs.ModeDir|0o555, "")
	}
	for _, d := range r.Devices {
		at := d.Devpath[1:]
		f.add(at+"/uevent", 0o444, lines(d.Uevent))
		if d.Subsystem != "" {
			in := "class/" + d.Subsystem
			if d.Bus {
				in = "bus/" + d.Subsystem
			}
			f.link(at+"/subsystem", in)
			if d.Bus {
				in += "/devices"
			}
			f.link(in+"/"+path.Base(at), at)
		}
		if d.Driver != "" {
			f.link(at+"/driver", "bus/"+d.Subsystem+"/drivers/"+d.Driver)
		}
		if number := d.number(); number != "" {
			kind := "char/"
			if d.Subsystem == "block" {
				kind = "block/"
			}
			f.link("dev/"+kind+number, at)
		}
		for name, value := range d.Attrs {
			f.add(at+"/"+name, 0o444, value+"\n")
		}
		for name, to := range d.Links {
			if !strings.HasPrefix(to, "/") {
				to = "/links/" + name + "/" + to
			}
			f.link(at+"/"+name, to[1:])
		}
	}
	return f
}

// Records returns udevd's records, nil if there were none.
func (r *Recording) Records() fs.FS {
	f := newFiles()
	any := false
	for _, d := range r.Devices {
		if len(d.Record) > 0 {
			any = true
			f.add(d.recordID(), 0o444, lines(d.Record))
		}
	}
	if !any {
		return nil
	}
	return f
}

// Proc returns the recorded tables of /proc: self/mountinfo and swaps.
func (r *Recording) Proc() fs.FS {
	var mounts, swaps strings.Builder
	for _, m := range r.Mounts {
		mounts.WriteString("1 1 " + m.Number + " / " + m.Point + " rw - none " + m.Source + " rw\n")
	}
	for _, s := range r.Swaps {
		swaps.WriteString(s + " partition 1 0 -2\n")
	}
	f := newFiles()
	f.add("self/mountinfo", 0o444, mounts.String())
	f.add("swaps", 0o444, swaps.String())
	return f
}

func lines(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}

// value returns a property of the kernel.
func (d *Device) value(key string) string {
	for _, line := range d.Uevent {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return v
		}
	}
	return ""
}

func (d *Device) number() string {
	major, minor := d.value("MAJOR"), d.value("MINOR")
	if major == "" || minor == "" {
		return ""
	}
	return major + ":" + minor
}

// recordID is the name of udevd's record.
func (d *Device) recordID() string {
	switch number, index := d.number(), d.value("IFINDEX"); {
	case number != "" && d.Subsystem == "block":
		return "b" + number
	case number != "":
		return "c" + number
	case index != "":
		return "n" + index
	}
	return "+" + d.Subsystem + ":" + path.Base(d.Devpath)
}
