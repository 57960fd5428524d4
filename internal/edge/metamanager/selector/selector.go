// Package selector decides which objects a label selector and a field selector
// select, on the objects' JSON.
//
// The API server knows for each resource which fields can be selected, and
// cloudcore asks it before an interest is granted. So any path is followed here,
// and only the fields that are not what their path says are listed (see
// valueOf).
package selector

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// maxBytes bounds each selector's text.
const maxBytes = 8 << 10

// Selector is a label and a field selector of one resource. The zero Selector
// selects nothing that can be told: use [Parse].
type Selector struct {
	resource string // <plural>.<group>, or <plural> of the core group
	labels   labels.Selector
	fields   fields.Selector
}

// Parse reads selectors as they stand in query parameters. group and resource
// (plural) say what is selected. Errors are for a person and mean 400.
func Parse(group, resource, label, field string) (Selector, error) {
	if len(label) > maxBytes || len(field) > maxBytes {
		return Selector{}, fmt.Errorf("a selector has at most %d bytes", maxBytes)
	}
	l, err := parseLabels(label)
	if err != nil {
		return Selector{}, fmt.Errorf("label selector: %w", err)
	}
	f, err := fields.ParseSelector(field)
	if err != nil {
		return Selector{}, fmt.Errorf("field selector: %w", err)
	}
	if group != "" {
		resource += "." + group
	}
	return Selector{resource: resource, labels: l, fields: f}, nil
}

// parseLabels reads a label selector, with = for ==.
func parseLabels(text string) (labels.Selector, error) {
	parsed, err := labels.ParseToRequirements(text)
	if err != nil {
		return nil, err
	}
	s := labels.NewSelector()
	for _, r := range parsed {
		if r.Operator() == selection.DoubleEquals {
			one, err := labels.NewRequirement(r.Key(), selection.Equals, r.Values().List())
			if err != nil {
				return nil, err
			}
			r = *one
		}
		s = s.Add(r)
	}
	return s, nil
}

// Labels is the label selector in one spelling of the many that it has.
func (s Selector) Labels() string { return s.labels.String() }

// Fields is the field selector in one spelling of the many that it has.
func (s Selector) Fields() string { return s.fields.String() }

// Name returns the one name that can be selected, if metadata.name is given.
func (s Selector) Name() (string, bool) { return s.fields.RequiresExactMatch("metadata.name") }

// All reports whether everything is selected.
func (s Selector) All() bool { return s.labels.Empty() && s.fields.Empty() }

// OnlyName reports whether the selector asks for one name and nothing else.
func (s Selector) OnlyName() bool {
	_, ok := s.Name()
	return ok && s.labels.Empty() && len(s.fields.Requirements()) == 1
}

// Matches reports whether the object with this JSON is selected. What is not an
// object is not.
func (s Selector) Matches(object []byte) bool {
	if s.All() {
		return true
	}
	var doc map[string]any
	if json.Unmarshal(object, &doc) != nil {
		return false
	}
	if !s.labels.Empty() {
		set := labels.Set{}
		if all, ok := at(doc, "metadata", "labels").(map[string]any); ok {
			for k, v := range all {
				set[k], _ = v.(string)
			}
		}
		if !s.labels.Matches(set) {
			return false
		}
	}
	set := fields.Set{}
	for _, r := range s.fields.Requirements() {
		set[r.Field] = valueOf(doc, s.resource, r.Field)
	}
	return s.fields.Matches(set)
}
