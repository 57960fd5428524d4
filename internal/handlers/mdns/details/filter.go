package details

import (
	"fmt"
	"strings"
	"unicode"
)

// Action is what a filter does with what its items match.
type Action string

// The actions.
const (
	Include Action = "Include" // only these
	Exclude Action = "Exclude" // all but these
)

// Filter chooses among texts. The zero value takes all. Upper and lower case of
// ASCII are the same, as in DNS, and a * in an item stands for any characters.
type Filter struct {
	Action Action // "" is Exclude
	Items  []string
}

// filterText is a filter in YAML.
type filterText struct {
	Action *Action  `json:"action"`
	Items  []string `json:"items"`
}

func (t *filterText) filter() (Filter, error) {
	if t == nil {
		return Filter{Action: Exclude}, nil
	}
	f := Filter{Action: Include, Items: t.Items}
	if t.Action != nil {
		f.Action = *t.Action
	}
	if f.Action != Include && f.Action != Exclude {
		return f, fmt.Errorf("action: %.32q, want %s or %s", f.Action, Include, Exclude)
	}
	if len(f.Items) > maxItems {
		return f, fmt.Errorf("%d items, at most %d are allowed", len(f.Items), maxItems)
	}
	for i, item := range f.Items {
		switch {
		case len(item) > maxItem:
			return f, fmt.Errorf("items[%d]: %d bytes, at most %d are allowed", i, len(item), maxItem)
		case strings.ContainsFunc(item, unicode.IsControl):
			return f, fmt.Errorf("items[%d]: has a control character", i)
		}
	}
	return f, nil
}

// Pass tells whether the filter takes a text.
func (f Filter) Pass(text string) bool {
	for _, item := range f.Items {
		if match(strings.ToLower(item), strings.ToLower(text)) {
			return f.Action == Include
		}
	}
	return f.Action != Include
}

// PassHost tells whether the filter takes a host, whose name has its domain; items
// may leave it out.
func (f Filter) PassHost(host string) bool {
	short := strings.TrimSuffix(strings.ToLower(host), "."+Domain)
	for _, item := range f.Items {
		if match(strings.TrimSuffix(strings.ToLower(item), "."+Domain), short) {
			return f.Action == Include
		}
	}
	return f.Action != Include
}

// PassMissing tells whether the filter takes what has no text at all, such as a
// key that is not there.
func (f Filter) PassMissing() bool { return f.Action != Include }

// match tells whether a text is as a pattern says, in which * stands for any
// characters, in time that grows with their lengths alone.
func match(pattern, text string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for more {
		var part string
		part, rest, more = strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return text == ""
}

const keys = "types, instances, hosts, txt and txtProperties (filters with action and items), identityKey, interfaces, " +
	"networks and discoveryTimeoutSeconds"
