package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/internal/handlers/fields"
)

// MaxTopicBytes is how long a topic may be. MQTT allows 65,535 bytes; an agent
// takes 1,024 as an id.
const MaxTopicBytes = 512

// Pattern is a topic filter (MQTT 5.0, section 4.7) with one "+", which stands for
// a device, and perhaps a "#" at its end.
type Pattern struct {
	Filter    string
	LostAfter time.Duration

	levels []string
	at     int // of "+" in levels
}

// parsePatterns returns a list of patterns.
func parsePatterns(value json.RawMessage) ([]Pattern, error) {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil, errors.New("not a list of entries such as pattern: sensors/+/state")
	}
	if len(list) > MaxPatterns {
		return nil, fmt.Errorf("has %d entries, at most %d are allowed", len(list), MaxPatterns)
	}
	var all []Pattern
	seen := map[string]bool{}
	for i, entry := range list {
		p, err := parsePattern(entry)
		if err == nil && seen[p.Filter] {
			err = fmt.Errorf("pattern: %q is there already: leave one out", p.Filter)
		}
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		seen[p.Filter] = true
		all = append(all, p)
	}
	return all, nil
}

func parsePattern(entry json.RawMessage) (Pattern, error) {
	keys, err := fields.Only(entry, "pattern", "lostAfter")
	if err != nil {
		return Pattern{}, err
	}
	var filter string
	if json.Unmarshal(keys["pattern"], &filter) != nil || filter == "" {
		return Pattern{}, errors.New("pattern: is missing: a topic with one +, such as sensors/+/state")
	}
	p, err := NewPattern(filter)
	if err != nil {
		return p, fmt.Errorf("pattern: %w", err)
	}
	if value, ok := keys["lostAfter"]; ok && string(value) != `""` && string(value) != "null" {
		if p.LostAfter, err = fields.Duration(value, minLostAfter, maxLostAfter, "10m"); err != nil {
			return p, fmt.Errorf("lostAfter: %w", err)
		}
	}
	return p, nil
}

// NewPattern makes a pattern of a topic filter, with the default for LostAfter.
func NewPattern(filter string) (Pattern, error) {
	p := Pattern{Filter: filter, LostAfter: DefaultLostAfter, levels: strings.Split(filter, "/"), at: -1}
	if err := checkText(filter); err != nil {
		return p, err
	}
	for i, level := range p.levels {
		switch {
		case level == "+" && p.at >= 0:
			return p, fmt.Errorf("%.64q has more than one +, and only one can name the device: "+
				"write several patterns, or # at the end for what follows", filter)
		case level == "+":
			p.at = i
		case level == "#" && i == len(p.levels)-1:
		case strings.ContainsAny(level, "+#"):
			return p, fmt.Errorf("%.64q: + must be a whole level, and # the last one", filter)
		}
	}
	if p.at < 0 {
		return p, fmt.Errorf("%.64q has no +, which stands for the device: write one, such as sensors/+/state", filter)
	}
	return p, nil
}

// Match returns the device that a topic is of.
func (p Pattern) Match(topic string) (device string, ok bool) {
	levels := strings.Split(topic, "/")
	for i, want := range p.levels {
		switch {
		case want == "#": // also for the level above it (MQTT 5.0, section 4.7.1.2)
			return device, device != ""
		case i == len(levels), i == 0 && want == "+" && strings.HasPrefix(topic, "$"): // section 4.7.2
			return "", false
		case want == "+":
			device = levels[i]
		case want != levels[i]:
			return "", false
		}
	}
	return device, device != "" && len(levels) == len(p.levels)
}

// Topic returns the topic of a device: the pattern with it in the place of +.
func (p Pattern) Topic(device string) string {
	levels := slices.Clone(p.levels)
	levels[p.at] = device
	return strings.Join(levels, "/")
}

// Several tells whether a device has several topics.
func (p Pattern) Several() bool { return p.levels[len(p.levels)-1] == "#" }

// checkTopic tells whether a text can be the beginning of topics.
func checkTopic(topic string) error {
	if strings.ContainsAny(topic, "+#") || strings.HasPrefix(topic, "/") || strings.HasSuffix(topic, "/") {
		return fmt.Errorf("%.64q: give a topic without + and #, and without a slash at either end", topic)
	}
	return checkText(topic)
}

func checkText(topic string) error {
	switch {
	case topic == "":
		return errors.New("is empty")
	case len(topic) > MaxTopicBytes:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(topic), MaxTopicBytes)
	case !utf8.ValidString(topic) || strings.ContainsFunc(topic, unicode.IsControl):
		return fmt.Errorf("%.64q has control characters", topic)
	}
	return nil
}

// IsTopic tells whether a text that a stranger has sent can be the name of a topic
// that is subscribed to.
func IsTopic(topic string) bool {
	return checkText(topic) == nil && !strings.ContainsAny(topic, "+#")
}
