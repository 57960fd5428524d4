package rule

import (
	"fmt"
	"slices"
	"strings"
)

// Warning says where a rule means something else here than in upstream Akri.
// Its text is short, as warnings of the Kubernetes API must be.
type Warning struct {
	Column int // of the match, from 1
	Text   string
}

// Warnings lists where the rule means something else than in upstream Akri
// (v0.13). There, matches of one kind were alternatives, values were shell
// patterns in some fields and regular expressions in others, and fields for
// ancestors were matched one by one. There is no warning where both select the
// same devices: vendor, product and the like are of the same USB device, and a
// name with a "|" found nothing there.
func (r *Rule) Warnings() []Warning {
	var ws []Warning
	add := func(m *match, format string, args ...any) {
		ws = append(ws, Warning{m.column, m.name() + ": " + fmt.Sprintf(format, args...)})
	}
	var ancestors int
	for i := range r.matches {
		m := &r.matches[i]
		if r.noComma != 0 && m.column == r.noComma {
			add(m, "counts, though no comma precedes it; upstream Akri dropped it and what follows")
		}
		if m.field.ofAncestors() {
			if ancestors++; ancestors == 2 && !r.ofOneUSBDevice() {
				add(m, "must hold on the same ancestor as the others; upstream Akri took any for each")
			}
			if m.negate {
				add(m, "!= holds if any of device and ancestors differs; in upstream Akri all had to")
			}
		}
		for j := range r.matches[:i] {
			if m.upstreamUnites(&r.matches[j]) {
				add(m, "must hold together with the %s before it; upstream Akri took either", r.matches[j].name())
				break
			}
		}
		if m.field == Devpath && !m.negate {
			add(m, "selects by path; upstream Akri ignored it")
		}
		if m.upstreamRegexp() && (strings.ContainsAny(m.value, `*?+(){}^$\`) || strings.Contains(m.value, "[!")) {
			add(m, "%q is a shell pattern; upstream Akri took it for a regular expression", m.value)
		}
		if m.field == Attr && m.negate {
			add(m, "does not hold for a device without this attribute; in upstream Akri it did")
		}
		if m.field == Env {
			if strings.ContainsAny(m.key, "*?[") {
				add(m, "the key is one property's name; upstream Akri took it for a pattern")
			}
			if !m.negate && m.matches("") {
				add(m, "holds for a device without this property too; in upstream Akri it did not")
			}
		}
	}
	return ws
}

// ofOneUSBDevice tells whether all matches of ancestors are on what only USB
// devices have.
func (r *Rule) ofOneUSBDevice() bool {
	for i := range r.matches {
		m := &r.matches[i]
		switch {
		case !m.field.ofAncestors():
		case m.field == Subsystems && !m.negate && m.value == "usb":
		case m.field == Attrs && !m.negate && slices.Contains(usbAttributes, m.key):
		default:
			return false
		}
	}
	return true
}

// usbAttributes are files in sysfs that USB devices have and others have not.
var usbAttributes = []string{"idVendor", "idProduct", "bcdDevice", "manufacturer", "product", "serial"}

func (m *match) name() string {
	if m.field.hasKey() {
		return m.field.String() + "{" + m.key + "}"
	}
	return m.field.String()
}

// upstreamRegexp tells whether upstream matched the value as a regular
// expression.
func (m *match) upstreamRegexp() bool {
	switch m.field {
	case Kernel, Devpath, Env, Tag:
		return m.negate
	case Subsystem, Attr:
		return false
	}
	return true
}

// upstreamUnites tells whether m and o were alternatives in upstream.
func (m *match) upstreamUnites(o *match) bool {
	if m.negate || o.negate || m.field != o.field {
		return false
	}
	switch m.field {
	case Kernel, Subsystem, Tag, Env:
		return true
	case Attr:
		return m.key == o.key
	}
	return false
}
