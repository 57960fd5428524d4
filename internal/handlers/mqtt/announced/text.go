package announced

import (
	"encoding/json"
	"strings"
	"unicode"

	"github.com/akri-go/akri/internal/shorten"
)

// maxTextBytes is how long a text may be that a device says of itself. Longer ones
// are shortened.
const maxTextBytes = 256

// clean returns a text as it can be an environment variable.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, shorten.Text(s, maxTextBytes))
	return strings.Clone(strings.TrimSpace(s)) // what was cut off need not stay
}

// usable tells whether a text can be part of an id.
func usable(s string) bool {
	return s != "" && len(s) <= maxTextBytes && s == clean(s)
}

// maxDepth is how deep JSON may be nested; what is announced has five levels.
const maxDepth = 32

// object reads a JSON object of limited depth.
func object(payload []byte) (map[string]json.RawMessage, bool) {
	depth, quoted := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return nil, false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields == nil {
		return nil, false
	}
	return fields, true
}

// texts returns the text of each of the keys, of which only one is there: the long
// form of a name, and the short one. Numbers are texts too.
func textOf(fields map[string]json.RawMessage, keys ...string) string {
	value := valueOf(fields, keys...)
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(value, &n) == nil {
		return n.String()
	}
	return ""
}

// valueOf returns the value of the first key that is there.
func valueOf(fields map[string]json.RawMessage, keys ...string) json.RawMessage {
	for _, key := range keys {
		if value, ok := fields[key]; ok {
			return value
		}
	}
	return nil
}
