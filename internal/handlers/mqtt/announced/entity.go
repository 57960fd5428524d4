package announced

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// entity is what the configuration of an entity says of its device.
type entity struct {
	device       string // its identifier
	info         Info
	availability []availability
	mode         string
	round        uint32
}

const (
	maxIdentifiers  = 64
	maxAvailability = 16 // topics of an entity
)

// parseEntity reads the configuration of an entity, or of all entities of a device
// (with the component "device"), whose keys may be abbreviated. why says why it
// does not count.
func parseEntity(payload []byte) (e *entity, why Why) {
	fields, ok := object(payload)
	if !ok {
		return nil, Malformed
	}
	value := valueOf(fields, "device", "dev")
	if value == nil || string(value) == "null" {
		return nil, Deviceless
	}
	device, ok := object(value)
	if !ok {
		return nil, Malformed
	}
	e = &entity{}
	if e.device = identifier(device); e.device == "" {
		return nil, Malformed
	}
	e.info = Info{
		Name:         clean(textOf(device, "name")),
		Manufacturer: clean(textOf(device, "manufacturer", "mf")),
		Model:        clean(textOf(device, "model", "mdl")),
		Firmware:     clean(textOf(device, "sw_version", "sw")),
		Hardware:     clean(textOf(device, "hw_version", "hw")),
		Serial:       clean(textOf(device, "serial_number", "sn")),
		Location:     clean(textOf(device, "suggested_area", "sa")),
	}
	if mode := textOf(fields, "availability_mode", "avty_mode"); mode == modeAll || mode == modeAny {
		e.mode = mode
	}
	if e.availability, ok = availabilities(fields); !ok {
		return nil, Malformed
	}
	return e, ""
}

// identifier returns the first of a device's identifiers, else its first
// connection, such as mac:02:5b:26:a8:dc:12; "" if there is neither.
func identifier(device map[string]json.RawMessage) string {
	if ids := listOf(valueOf(device, "identifiers", "ids")); len(ids) > 0 {
		if id := scalar(ids[0]); usable(id) {
			return id
		}
		return ""
	}
	for _, connection := range listOf(valueOf(device, "connections", "cns")) {
		pair := listOf(connection)
		if len(pair) == 2 {
			if id := scalar(pair[0]) + ":" + scalar(pair[1]); usable(id) {
				return id
			}
		}
	}
	return ""
}

// listOf returns the elements of a list, or the value itself if it is none.
func listOf(value json.RawMessage) []json.RawMessage {
	if len(value) == 0 || string(value) == "null" {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return []json.RawMessage{value}
	}
	return list[:min(len(list), maxIdentifiers)]
}

// scalar returns a text or a number.
func scalar(value json.RawMessage) string {
	return textOf(map[string]json.RawMessage{"": value}, "")
}

// availabilities returns the topics by which an entity says whether it is there:
// one, or a list.
func availabilities(fields map[string]json.RawMessage) (all []availability, ok bool) {
	base := textOf(fields, "~")
	add := func(of map[string]json.RawMessage, topic, template string) bool {
		a := availability{expand(topic, base), reading{yes: "online", no: "offline"}}
		if s := textOf(of, "payload_available", "pl_avail"); s != "" {
			a.yes = s
		}
		if s := textOf(of, "payload_not_available", "pl_not_avail"); s != "" {
			a.no = s
		}
		tooLong := len(a.yes) > maxTextBytes || len(a.no) > maxTextBytes
		if tooLong || len(all) == maxAvailability || !details.IsTopic(a.topic) {
			return false
		}
		// A template that is not understood counts as always available, which only
		// keeps a device that is not there.
		path, understood := pathOf(template)
		if a.path = path; understood {
			all = append(all, a)
		}
		return true
	}
	if topic := textOf(fields, "availability_topic", "avty_t"); topic != "" {
		ok = add(fields, topic, textOf(fields, "availability_template", "avty_tpl"))
		return all, ok
	}
	for _, element := range listOf(valueOf(fields, "availability", "avty")) {
		of, is := object(element)
		if !is || !add(of, textOf(of, "topic", "t"), textOf(of, "value_template", "val_tpl")) {
			return nil, false
		}
	}
	return all, true
}

// expand puts the base topic for a "~" at either end of a topic.
func expand(topic, base string) string {
	if base == "" {
		return topic
	}
	if rest, ok := strings.CutPrefix(topic, "~"); ok {
		return base + rest
	}
	if rest, ok := strings.CutSuffix(topic, "~"); ok {
		return rest + base
	}
	return topic
}

// same tells whether another configuration of the entity says the same.
func (e *entity) same(other *entity) bool {
	return e.device == other.device && e.info == other.info && e.mode == other.mode &&
		slices.Equal(e.availability, other.availability)
}

// bytes is how much room the entity takes at its topic, with its share of the
// availability topics.
func (e *entity) bytes(topic string) int {
	i := e.info
	n := entityBytes + len(topic) + len(e.device) + len(i.Name) + len(i.Manufacturer) + len(i.Model) + len(i.Firmware) +
		len(i.Hardware) + len(i.Serial) + len(i.Location)
	for _, a := range e.availability {
		n += availabilityBytes + len(a.topic) + 2*(len(a.yes)+len(a.no)+len(a.path))
	}
	return n
}
