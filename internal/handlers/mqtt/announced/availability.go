package announced

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// availability is one of the topics by which an entity says whether it is there.
type availability struct {
	topic string
	reading
}

// reading is how a payload is read.
type reading struct {
	yes, no string // what says that the entity is there, or is not
	// path leads to the value in a payload of JSON; without any, the payload is it.
	path string
}

// The modes of several topics; without one it is the latest that counts.
const (
	modeAll = "all"
	modeAny = "any"
)

// availabilityTopic is what was last said of the availability of entities.
type availabilityTopic struct {
	entities int    // that name it
	readings []read // few, so a map would only be large
	payload  string
	known    bool
	round    uint32
	at       uint64 // counts what was said, to tell what is newer
	over     bool   // it is not subscribed to, for there are too many
}

// read is what a reading has told some entities.
type read struct {
	reading

	entities int
	online   bool
}

// find returns the place of a reading; -1 if there is none.
func (t *availabilityTopic) find(r reading) int {
	return slices.IndexFunc(t.readings, func(known read) bool { return known.reading == r })
}

// tell has what was said read. What says neither changes nothing.
func (t *availabilityTopic) tell(r *read) {
	value := t.payload
	if r.path != "" {
		value = lookUp(t.payload, r.path)
	}
	switch {
	case !t.known, value == r.no:
		r.online = false
	case value == r.yes:
		r.online = true
	}
}

// set sets what was said.
func (t *availabilityTopic) set(payload string, known bool) {
	t.payload, t.known = payload, known
	for i := range t.readings {
		t.tell(&t.readings[i])
	}
}

// available tells whether an entity is available; one without topics is.
func (h *hass) available(e *entity) bool {
	if len(e.availability) == 0 {
		return true
	}
	var newest uint64
	latest, some, every := false, false, true
	for _, a := range e.availability {
		t := h.topics[a.topic]
		at := t.find(a.reading)
		online := at >= 0 && t.readings[at].online
		if t.known && t.at >= newest {
			newest, latest = t.at, online
		}
		some, every = some || online, every && online
	}
	switch e.mode {
	case modeAll:
		return every
	case modeAny:
		return some
	}
	return latest
}

// lookUp returns a value in JSON, by the names that lead to it, such as a.b.
func lookUp(payload, path string) string {
	var value json.RawMessage = []byte(payload)
	last := ""
	for name := range strings.SplitSeq(path, ".") {
		fields, ok := object(value)
		if !ok {
			return ""
		}
		value, last = fields[name], name
	}
	if value == nil {
		return ""
	}
	switch string(value) { // as Python writes them
	case "true":
		return "True"
	case "false":
		return "False"
	}
	return textOf(map[string]json.RawMessage{last: value}, last)
}

// valueTemplate is the form of the templates that are understood, out of all that
// Jinja has.
var valueTemplate = regexp.MustCompile(`^\{\{-?\s*value_json((?:\.[A-Za-z_][A-Za-z0-9_]*){1,8})\s*-?\}\}$`)

// pathOf returns the path that a template stands for; "" if that is the payload.
func pathOf(template string) (path string, ok bool) {
	template = strings.TrimSpace(template)
	if template == "" || strings.Trim(template, "{}- ") == "value" {
		return "", true
	}
	m := valueTemplate.FindStringSubmatch(template)
	if m == nil || len(m[1]) > maxTextBytes {
		return "", false
	}
	return strings.Clone(m[1][1:]), true
}
