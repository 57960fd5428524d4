package recording

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

// Machine is the machine that is recorded.
type Machine struct {
	Sys     fs.ReadLinkFS
	Records fs.FS // of udevd; nil if there are none
	Tables  vital.Files
	// KeepSerials leaves serial numbers and their like as they are.
	KeepSerials bool
}

// Record records all devices of a machine, with what anybody can read of them.
// It leaves out devices that nobody looks for (CPUs, memory blocks, virtual
// terminals).
func Record(m Machine) (*Recording, error) {
	seen := map[string]bool{}
	tree := sysfs.New(m.Sys, nil)
	view := tree.View()
	err := tree.Devices(func(ref sysfs.Ref) {
		if slices.Contains(noise[:], ref.Subsystem) {
			return
		}
		for d := view.Device(ref); d != nil && !seen[d.Devpath()]; d = d.Ancestor() {
			seen[d.Devpath()] = true
		}
	})
	if err != nil {
		return nil, err
	}
	r := &Recording{}
	for devpath := range seen {
		if !strings.HasPrefix(devpath, "/devices/virtual/tty/tty") || devpath == "/devices/virtual/tty/tty0" {
			r.Devices = append(r.Devices, m.device(devpath))
		}
	}
	slices.SortFunc(r.Devices, func(a, b Device) int {
		return slices.Compare(strings.Split(a.Devpath, "/"), strings.Split(b.Devpath, "/"))
	})
	mounts, swaps := vital.Tables(m.Tables)
	for _, m := range mounts {
		if m.Point = "/"; strings.HasPrefix(m.Source, "/dev/") && !strings.ContainsAny(m.Source, " \t\n") && !slices.Contains(r.Mounts, Mount(m)) {
			r.Mounts = append(r.Mounts, Mount(m)) // where it is mounted is nobody's business
		}
	}
	r.Swaps = swaps
	if !m.KeepSerials {
		r.blank()
	}
	return r, nil
}

// noise are subsystems with hundreds of devices that no Configuration needs.
var noise = [...]string{"bdi", "clockevents", "clocksource", "container", "cpu", "event_source", "machinecheck", "memory", "memory_tiering", "node", "vc", "vtconsole", "workqueue"}

// read reads a small text.
func (m Machine) read(name string) (string, bool) {
	f, err := m.Sys.Open(name)
	if err != nil {
		return "", false
	}
	defer f.Close()
	const most = 2048
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	text := strings.TrimRight(string(b), "\r\n")
	return text, err == nil && len(b) <= most && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}

func (m Machine) device(devpath string) Device {
	at := devpath[1:]
	d := Device{Devpath: devpath, Attrs: map[string]string{}, Links: map[string]string{}}
	if to, err := m.Sys.ReadLink(at + "/subsystem"); err == nil {
		d.Subsystem, d.Bus = path.Base(to), path.Base(path.Dir(to)) == "bus"
	}
	if to, err := m.Sys.ReadLink(at + "/driver"); err == nil {
		d.Driver = path.Base(to)
	}
	if text, ok := m.read(at + "/uevent"); ok && text != "" {
		d.Uevent = strings.Split(text, "\n")
	}
	m.attrs(&d, at, "")
	for _, folder := range []string{"id", "loop", "dm", "capabilities"} {
		m.attrs(&d, at, folder+"/")
	}
	for _, name := range []string{"device", "iommu_group"} {
		m.link(&d, at, name)
	}
	for _, folder := range []string{"holders", "slaves"} {
		entries, _ := fs.ReadDir(m.Sys, at+"/"+folder)
		for _, e := range entries {
			m.link(&d, at, folder+"/"+e.Name())
		}
	}
	if m.Records != nil && fs.ValidPath(d.recordID()) {
		if b, err := fs.ReadFile(m.Records, d.recordID()); err == nil && utf8.Valid(b) {
			for line := range strings.Lines(string(b)) {
				if line = strings.TrimRight(line, "\r\n"); line != "" && line[0] != 'I' { // when it was recorded
					d.Record = append(d.Record, line)
				}
			}
		}
	}
	return d
}

func (m Machine) attrs(d *Device, at, folder string) {
	entries, _ := fs.ReadDir(m.Sys, path.Join(at, folder))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o004 == 0 || e.Name() == "uevent" {
			continue
		}
		if text, ok := m.read(path.Join(at, folder, e.Name())); ok {
			d.Attrs[folder+e.Name()] = text
		}
	}
}

func (m Machine) link(d *Device, at, name string) {
	to, err := m.Sys.ReadLink(at + "/" + name)
	if err != nil {
		return
	}
	if target := "/" + path.Join(at, path.Dir(name), to); validPath(target) {
		d.Links[name] = target
	} else if validWord(path.Base(to)) {
		d.Links[name] = path.Base(to)
	}
}

// secretAttrs are attributes that identify a machine or a person.
var secretAttrs = [...]string{"serial", "serial_number", "wwid", "uniq", "unique_id", "cid", "address", "permaddr", "dm/uuid", "dm/name", "loop/backing_file", "uuid", "nguid", "eui", "board_serial", "chassis_serial", "product_serial", "product_uuid"}

// secretProperty tells whether a property identifies a machine or a person: its
// whole value, or a part of it.
func secretProperty(key string) (whole, part bool) {
	switch key {
	case "ID_SERIAL", "ID_USB_SERIAL", "ID_SCSI_SERIAL", "PHYS":
		return false, true
	case "ID_PART_ENTRY_NAME", "DM_NAME", "DM_LV_NAME", "DM_VG_NAME":
		return true, true
	}
	for _, word := range []string{"SERIAL", "UUID", "LABEL", "WWN", "UNIQ", "_MAC"} {
		if strings.Contains(key, word) && !strings.HasSuffix(key, "_MAC_FROM_DATABASE") {
			return true, true
		}
	}
	return false, false
}

// blank replaces serial numbers and their like; the same number always becomes
// the same word.
func (r *Recording) blank() {
	var secrets []string
	words := map[string]string{}
	note := func(s string) {
		s = strings.Trim(s, `" `)
		if s == "" || words[s] != "" || strings.Trim(s, "0:-") == "" || isPCIAddress(s) {
			return
		}
		words[s] = fmt.Sprintf("blanked%d", len(words)+1)
		secrets = append(secrets, s)
	}
	for _, d := range r.Devices {
		for _, name := range secretAttrs {
			if name != "address" || d.Subsystem == "net" || d.Subsystem == "bluetooth" {
				note(d.Attrs[name])
			}
		}
		for _, line := range slices.Concat(d.Uevent, d.Record) {
			key, value, _ := strings.Cut(strings.TrimPrefix(line, "E:"), "=")
			if whole, _ := secretProperty(key); whole {
				note(value)
			}
		}
	}
	// The longest first: one may be part of another.
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	blank := func(s string, anywhere bool) string {
		if w := words[strings.Trim(s, `" `)]; w != "" {
			return w
		}
		for _, secret := range secrets {
			if anywhere || len(secret) >= 8 {
				s = replaceWord(s, secret, words[secret])
			}
		}
		return s
	}
	line := func(s string) string {
		if rest, ok := strings.CutPrefix(s, "S:"); ok {
			return "S:" + blank(rest, true)
		}
		prefix, rest := "", s
		if strings.HasPrefix(s, "E:") {
			prefix, rest = "E:", s[2:]
		}
		key, value, ok := strings.Cut(rest, "=")
		if !ok {
			return s
		}
		_, part := secretProperty(key)
		if !part && len(value) < 8 {
			return s // short ones mean something else here
		}
		return prefix + key + "=" + blank(value, part)
	}
	for _, d := range r.Devices {
		for name, value := range d.Attrs {
			if secret := slices.Contains(secretAttrs[:], name); secret || len(value) >= 8 {
				d.Attrs[name] = blank(value, secret)
			}
		}
		for i := range d.Uevent {
			d.Uevent[i] = line(d.Uevent[i])
		}
		for i := range d.Record {
			d.Record[i] = line(d.Record[i])
		}
	}
	for i := range r.Mounts {
		r.Mounts[i].Source = blank(r.Mounts[i].Source, true)
	}
}

// replaceWord replaces a word in s where no letter or digit touches it.
func replaceWord(s, word, by string) string {
	alnum := func(i int) bool {
		return i >= 0 && i < len(s) && (s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' || s[i] >= '0' && s[i] <= '9')
	}
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return s
		}
		i += from
		if alnum(i-1) || alnum(i+len(word)) {
			from = i + 1
			continue
		}
		s = s[:i] + by + s[i+len(word):]
		from = i + len(by)
	}
}

// isPCIAddress tells whether a serial number is a PCI address, as that of a USB
// root hub.
func isPCIAddress(s string) bool {
	return len(s) == len("0000:00:14.0") && s[4] == ':' && s[7] == ':' && s[10] == '.'
}
