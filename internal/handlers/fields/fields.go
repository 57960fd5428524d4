// Package fields reads what the discoveryDetails of several handlers have in
// common: YAML mappings without unknown keys, lists of texts, filters, durations, hosts.
// Errors are for whoever has written them, and do not name the key at fault: that
// is the caller's, who knows where it stands.
package fields

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/handlers/schedule"
)

const (
	maxDetailsBytes = 256 << 10 // bytes
	maxItems        = 1000      // of a filter
	maxItemBytes    = 4096      // bytes

	maxHostBytes = 253 // RFC 1035, section 2.3.4, as text
	maxZoneBytes = 15  // IFNAMSIZ of Linux, without the end

	minInterval = time.Second
	maxInterval = 24 * time.Hour
)

// Parse returns the fields of discoveryDetails, a YAML mapping.
func Parse(text string) (map[string]json.RawMessage, error) {
	if len(text) > maxDetailsBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxDetailsBytes)
	}
	j, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, plainYAML(err)
	}
	return Mapping(j)
}

// Mapping returns the fields of a mapping.
func Mapping(j json.RawMessage) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(j, &fields) != nil {
		return nil, errors.New("not a mapping of keys to values")
	}
	return fields, nil
}

// Only returns the fields of a mapping, which may have no keys but those given.
func Only(j json.RawMessage, keys ...string) (map[string]json.RawMessage, error) {
	fields, err := Mapping(j)
	for key := range fields {
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("unknown key %q: the keys are %s", key, enumerate(keys))
		}
	}
	if err != nil {
		if len(keys) == 1 {
			return nil, fmt.Errorf("want a mapping with the key %s", keys[0])
		}
		return nil, fmt.Errorf("want a mapping with some of the keys %s", enumerate(keys))
	}
	return fields, nil
}

// enumerate writes a list of at least one as people do: a, b and c.
func enumerate(all []string) string {
	last := len(all) - 1
	if last == 0 {
		return all[0]
	}
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

// Texts returns a list of texts, of which there may be so many.
func Texts(j json.RawMessage, most int) (texts []string, err error) {
	if json.Unmarshal(j, &texts) != nil {
		return nil, errors.New("not a list of texts")
	}
	if len(texts) > most {
		return nil, fmt.Errorf("has %d entries, at most %d are allowed", len(texts), most)
	}
	return texts, nil
}

// Duration returns a duration within limits. such is one, for the error.
func Duration(j json.RawMessage, least, most time.Duration, such string) (time.Duration, error) {
	var text string
	if json.Unmarshal(j, &text) != nil {
		return 0, fmt.Errorf("not a duration such as %s", such)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("%.32q is not a duration from %s to %s, such as %s", text, least, most, such)
	}
	return d, nil
}

// Interval returns how often something is asked: a duration from a second to a
// day, or [schedule.DefaultInterval] for an empty text.
func Interval(j json.RawMessage) (time.Duration, error) {
	if string(j) == `""` || string(j) == "null" {
		return schedule.DefaultInterval, nil
	}
	return Duration(j, minInterval, maxInterval, "30s")
}

// Filter chooses by a text. The zero value lets everything pass.
type Filter struct {
	// Exclude lets pass what is not in Items, otherwise what is.
	Exclude bool
	Items   []string
	given   bool
}

// ParseFilter returns a filter: a mapping with action, Include (the default) or
// Exclude, and items, a list of texts. null lets everything pass.
func ParseFilter(j json.RawMessage) (Filter, error) {
	if string(j) == "null" {
		return Filter{}, nil
	}
	f := Filter{given: true}
	fields, err := Only(j, "action", "items")
	if err != nil {
		return f, err
	}
	if value, ok := fields["action"]; ok {
		switch string(value) {
		case `"Include"`:
		case `"Exclude"`:
			f.Exclude = true
		default:
			return f, fmt.Errorf("action: must be Include or Exclude")
		}
	}
	value, ok := fields["items"]
	if !ok {
		return f, errors.New("items is missing: a list of texts")
	}
	if f.Items, err = Texts(value, maxItems); err != nil {
		return f, fmt.Errorf("items: %w", err)
	}
	for i, item := range f.Items {
		if len(item) > maxItemBytes {
			return f, fmt.Errorf("items[%d]: %d bytes, at most %d are allowed", i, len(item), maxItemBytes)
		}
	}
	return f, nil
}

// Passes tells whether a text is let pass. Upper and lower case differ.
func (f Filter) Passes(text string) bool {
	return !f.given || slices.Contains(f.Items, text) != f.Exclude
}

// Nothing tells whether nothing at all passes.
func (f Filter) Nothing() bool { return f.given && !f.Exclude && len(f.Items) == 0 }

// Host returns a host, a name or an address, as it is compared and looked up.
func Host(text string) (string, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		// net/netip takes anything for a zone, which is an interface's name.
		if len(ip.Zone()) > maxZoneBytes {
			return "", fmt.Errorf("its zone has more than %d bytes", maxZoneBytes)
		}
		return ip.Unmap().String(), plain(ip.Zone())
	}
	switch {
	case text == "":
		return "", errors.New("it is empty")
	case len(text) > maxHostBytes:
		return "", fmt.Errorf("it has more than %d bytes", maxHostBytes)
	}
	return strings.ToLower(text), plain(text)
}

// plain returns an error if a text has what neither names of hosts nor those of
// interfaces have.
func plain(text string) error {
	for _, c := range text {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("it has %q", c)
		}
	}
	return nil
}
