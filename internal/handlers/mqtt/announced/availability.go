package announced

import (
	"encoding/json"
	"regexp"
	"strings"
)

// availability is one of the topics by which an entity says whether it is there.
type availability struct {
	topic   string
	yes, no string // the payloads
	// path leads to the value in a payload of JSON; without any, the payload is it.
	path   string
	online bool // by the last payload that says either
}

// The modes of several topics.
const (
	modeAll    = "all"
	modeAny    = "any"
	modeLatest = "latest"
)

// valueKey is a value in what a topic says.
type valueKey struct{ topic, path string }

// available tells whether an entity is available; one without topics is. values
// keeps what was read of payloads, since many entities name the same topic.
func (h *hass) available(e *entity, values map[valueKey]string) bool {
	if len(e.availability) == 0 {
		return true
	}
	var newest uint64
	latest, some, every := false, false, true
	for i := range e.availability {
		a := &e.availability[i]
		t := h.topics[a.topic]
		if t.known {
			switch h.value(a, t, values) {
			case a.yes:
				a.online = true
			case a.no:
				a.online = false
			}
			if t.at >= newest {
				newest, latest = t.at, a.online
			}
		} else {
			a.online = false
		}
		some, every = some || a.online, every && a.online
	}
	switch e.mode {
	case modeAll:
		return every
	case modeAny:
		return some
	}
	return latest
}

// value returns what a topic says to one who reads a part of it.
func (h *hass) value(a *availability, t *availabilityTopic, values map[valueKey]string) string {
	if a.path == "" {
		return t.payload
	}
	key := valueKey{a.topic, a.path}
	value, known := values[key]
	if !known {
		value = lookUp(t.payload, a.path)
		values[key] = value
	}
	return value
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
	if m == nil {
		return "", false
	}
	return m[1][1:], true
}
