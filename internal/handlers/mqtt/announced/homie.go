package announced

import (
	"cmp"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// homie has the devices of one domain of Homie, conventions 3, 4 and 5. Only what
// tells of devices is subscribed to, not their values.
type homie struct {
	book    *Book
	domain  string
	devices map[homieKey]*homieDevice
}

// homieKey is a device's id. Topics of convention 5 have a level 5 before it.
type homieKey struct {
	five bool
	id   string
}

// homieDevice is what a device has published.
type homieDevice struct {
	state   said
	version said // of the convention
	name    said
	model   said // convention 5's type
	// The firmware's name and version, of convention 3 and the legacy firmware
	// extension of convention 4.
	firmware, firmwareVersion said

	root  string // convention 5: the device whose loss takes this one along
	there bool   // by its own state
}

// said is the payload of a topic, and the connection by which it came last.
type said struct {
	text  string
	round uint32
}

// homieBytes is about how much a device takes, beside its texts.
const homieBytes = 320

func (h *homie) filters() []string {
	base := h.domain + "/+/"
	return []string{
		base + "$homie", base + "$state", base + "$name", base + "$fw/name", base + "$fw/version",
		h.domain + "/5/+/$state", h.domain + "/5/+/$description",
	}
}

// key returns the device and the attribute that a topic is of.
func (h *homie) key(topic string) (key homieKey, attribute string, ok bool) {
	rest, ok := strings.CutPrefix(topic, h.domain+"/")
	if !ok {
		return key, "", false
	}
	if five, is := strings.CutPrefix(rest, "5/"); is && !strings.HasPrefix(five, "$") {
		key.five, rest = true, five
	}
	key.id, attribute, ok = strings.Cut(rest, "/")
	return key, attribute, ok && strings.HasPrefix(attribute, "$") && key.id != ""
}

// take takes a message.
func (h *homie) take(m Message, now time.Time) (news bool) {
	key, attribute, ok := h.key(m.Topic)
	if !ok {
		return false
	}
	if !usable(key.id) {
		h.book.reject(Malformed, m.Topic)
		return false
	}
	var was homieDevice
	if d := h.devices[key]; d != nil {
		was = *d
	}
	next := was
	switch h.set(&next, key.five, attribute, m) {
	case unknown:
		return false
	case wrong:
		h.book.reject(Malformed, m.Topic)
		return false
	}
	if !h.book.hold(next.bytes(key)-was.bytes(key), m.Topic) {
		return false
	}
	says := attribute == "$homie" || attribute == "$description"
	if says && next.version.text != "" && !next.understood(key) {
		h.book.reject(Convention, m.Topic)
	} else {
		h.book.fine(m.Topic)
	}
	h.hearWord(key, attribute, &was, &next, now)
	if next.empty() {
		delete(h.devices, key)
	} else {
		key.id = strings.Clone(key.id) // without the topic
		h.devices[key] = &next
	}
	return next.shown() != was.shown()
}

// hearWord notes whether a device's last word is good-bye: that it disconnects, or
// that it is taken away for good, for which its topics are cleared (Homie 5.0,
// "Device removal"). "lost" is not its own word but its will.
func (h *homie) hearWord(key homieKey, attribute string, was, next *homieDevice, now time.Time) {
	id := h.id(key)
	switch state := next.state.text; {
	case attribute == "$state" && state == "lost":
	case attribute == "$state" && state != "" && state != "disconnected":
		h.book.stays(id)
	case attribute == "$state" || was.version.text != "" && next.version.text == "":
		if h.present(key, was) {
			h.book.bye(id, now)
		}
	}
}

// id is the same for both conventions: a device that gets new firmware is the same.
func (h *homie) id(key homieKey) string { return h.domain + "/" + key.id }

// verdict is what comes of an attribute.
type verdict int

const (
	taken   verdict = iota
	unknown         // it is none that matters
	wrong
)

// set sets an attribute of a device.
func (h *homie) set(d *homieDevice, five bool, attribute string, m Message) verdict {
	value := said{clean(string(m.Payload[:min(len(m.Payload), 4*maxTextBytes)])), h.book.round}
	switch {
	case attribute == "$state":
		d.state = value
		d.there = there(value.text, d.there)
	case five && attribute == "$description":
		return d.describe(m.Payload, h.book.round)
	case five:
		return unknown
	case attribute == "$homie":
		d.version = value
	case attribute == "$name":
		d.name = value
	case attribute == "$fw/name":
		d.firmware = value
	case attribute == "$fw/version":
		d.firmwareVersion = value
	default:
		return unknown
	}
	return taken
}

// there tells whether a device is there by its $state. One that initialises
// itself is as it was: it is about to come, or to change.
func there(state string, was bool) bool {
	switch state {
	case "ready", "sleeping", "alert":
		return true
	case "init":
		return was
	}
	return false // disconnected, lost, cleared, or nothing that the conventions know
}

// describe takes the description of convention 5.
func (d *homieDevice) describe(payload []byte, round uint32) verdict {
	if len(payload) == 0 {
		d.version, d.name, d.model, d.root = said{}, said{}, said{}, ""
		return taken
	}
	fields, ok := object(payload)
	if !ok {
		return wrong
	}
	d.version = said{clean(textOf(fields, "homie")), round}
	d.name = said{clean(textOf(fields, "name")), round}
	d.model = said{clean(textOf(fields, "type")), round}
	d.root = clean(textOf(fields, "root"))
	return taken
}

// shown is what others see of a device.
func (d *homieDevice) shown() homieDevice {
	s := homieDevice{root: d.root, there: d.there}
	for _, f := range [][2]*said{{&s.version, &d.version}, {&s.name, &d.name}, {&s.model, &d.model},
		{&s.firmware, &d.firmware}, {&s.firmwareVersion, &d.firmwareVersion}} {
		f[0].text = f[1].text
	}
	s.state.text = d.state.text
	return s
}

// all returns all that it has said.
func (d *homieDevice) all() []*said {
	return []*said{&d.state, &d.version, &d.name, &d.model, &d.firmware, &d.firmwareVersion}
}

func (d *homieDevice) empty() bool { return d.shown() == homieDevice{} }

// bytes is how much room the device takes.
func (d *homieDevice) bytes(key homieKey) int {
	if d.empty() {
		return 0
	}
	n := homieBytes + len(key.id) + len(d.root)
	for _, s := range d.all() {
		n += len(s.text)
	}
	return n
}

// sweep forgets what was not said on this connection.
func (h *homie) sweep() {
	for key, d := range h.devices {
		before := d.bytes(key)
		for _, s := range d.all() {
			if s.round != h.book.round {
				*s = said{}
			}
		}
		if d.version.text == "" {
			d.root = ""
		}
		d.there = d.there && d.state.text != ""
		h.book.hold(d.bytes(key)-before, "")
		if d.empty() {
			delete(h.devices, key)
		}
	}
}

// understood tells whether a device keeps a convention that is understood, at the
// topic that belongs to it.
func (d *homieDevice) understood(key homieKey) bool {
	switch major, _, _ := strings.Cut(d.version.text, "."); major {
	case "3", "4":
		return !key.five
	case "5":
		return key.five
	}
	return false
}

// present tells whether a device is there: it has said enough, and its root is not
// lost (Homie 5.0, "Device hierarchy").
func (h *homie) present(key homieKey, d *homieDevice) bool {
	if !d.there || !d.understood(key) {
		return false
	}
	root := h.devices[homieKey{five: true, id: d.root}]
	return d.root == "" || root == nil || root.state.text != "lost"
}

func (h *homie) appendDevices(all []Device) []Device {
	for _, five := range []bool{true, false} {
		for key, d := range h.devices {
			if key.five != five || !h.present(key, d) {
				continue
			}
			id := h.id(key)
			device := Device{ID: id, Convention: details.Homie4, Own: key.id, Topic: id}
			if five {
				device.Convention, device.Topic = details.Homie5, h.domain+"/5/"+key.id
			}
			device.Name, device.Model = cmp.Or(d.name.text, key.id), d.model.text // as convention 5 says
			device.Firmware = strings.TrimSpace(d.firmware.text + " " + d.firmwareVersion.text)
			all = append(all, device)
		}
	}
	return all
}
