package rule

import (
	"strings"
)

// Hints lists where the rule is valid but most likely finds nothing.
func (r *Rule) Hints() []Warning {
	var hints []Warning
	for i := range r.matches {
		m := &r.matches[i]
		if m.negate || m.foldCase {
			continue
		}
		if name, ok := strings.CutPrefix(m.value, "/dev/"); ok && (m.field == Kernel || m.field == Kernels) {
			hints = append(hints, Warning{m.column, m.name() + ": the kernel's name of a device has no /dev/: write \"" + strings.ReplaceAll(name, "|/dev/", "|") + "\""})
		}
		if low, ok := m.upperHex(); ok {
			hints = append(hints, Warning{m.column, m.name() + ": ids have hexadecimal digits in lower case: write \"" + low + "\""})
		}
	}
	return hints
}

// upperHex tells whether a match looks for an id in upper case, and how to
// write it.
func (m *match) upperHex() (low string, ok bool) {
	switch {
	case m.field == Attr || m.field == Attrs:
		name := m.key[strings.LastIndexByte(m.key, '/')+1:]
		switch name {
		case "idVendor", "idProduct", "vendor", "device", "subsystem_vendor", "subsystem_device", "class":
		default:
			return "", false
		}
	case m.field == Env && (m.key == "ID_VENDOR_ID" || m.key == "ID_MODEL_ID" || m.key == "ID_USB_VENDOR_ID" || m.key == "ID_USB_MODEL_ID"):
	default:
		return "", false
	}
	low = lower(m.value)
	return low, low != m.value && strings.Trim(low, "0123456789abcdefx*?[]-|") == ""
}

// Recorded returns the first match that can only hold with udevd's records: on
// a tag, or on a property whose name is udevd's; "" if there is none.
func (r *Rule) Recorded() string {
	for i := range r.matches {
		m := &r.matches[i]
		if m.negate || m.matches("") {
			continue
		}
		if m.field == Tag || m.field == Tags || m.field == Env && strings.HasPrefix(m.key, "ID_") {
			return m.name()
		}
	}
	return ""
}
