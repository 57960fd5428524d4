package selector

import (
	"slices"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Within decides whether everything that s selects is selected by wide too. Then
// rest tells apart, of what wide selects, exactly what s does. It compares what
// both ask for one by one, so a false may be a true that is said differently.
func (s Selector) Within(wide Selector) (rest Selector, ok bool) {
	mine, _ := s.labels.Requirements()
	theirs, selectable := wide.labels.Requirements()
	for _, w := range theirs {
		if !slices.ContainsFunc(mine, func(m labels.Requirement) bool { return labelImplies(m, w) }) {
			return Selector{}, false
		}
	}
	asked := s.fields.Requirements()
	for _, w := range wide.fields.Requirements() {
		if !slices.ContainsFunc(asked, func(m fields.Requirement) bool { return fieldImplies(m, w) }) {
			return Selector{}, false
		}
	}
	var left []fields.Selector
	for _, m := range asked {
		if slices.Contains(wide.fields.Requirements(), m) {
			continue
		}
		if !canTell(s.resource, m.Field) {
			return Selector{}, false
		}
		one := fields.OneTermEqualSelector(m.Field, m.Value)
		if m.Operator == selection.NotEquals {
			one = fields.OneTermNotEqualSelector(m.Field, m.Value)
		}
		left = append(left, one)
	}
	return Selector{resource: s.resource, labels: s.labels, fields: fields.AndSelectors(left...)}, selectable
}

// labelImplies reports whether an object that fulfils m always fulfils w.
func labelImplies(m, w labels.Requirement) bool {
	if m.Key() != w.Key() {
		return false
	}
	if m.String() == w.String() {
		return true
	}
	one := m.Operator() == selection.Equals || m.Operator() == selection.In // so it has the label, with one of these
	switch w.Operator() {
	case selection.Exists:
		return one || m.Operator() == selection.GreaterThan || m.Operator() == selection.LessThan
	case selection.Equals, selection.In:
		return one && w.Values().IsSuperset(m.Values())
	case selection.NotEquals, selection.NotIn:
		return one && !w.Values().HasAny(m.Values().UnsortedList()...) || m.Operator() == selection.DoesNotExist ||
			(m.Operator() == selection.NotEquals || m.Operator() == selection.NotIn) && m.Values().IsSuperset(w.Values())
	}
	return false
}

// fieldImplies is labelImplies for fields.
func fieldImplies(m, w fields.Requirement) bool {
	return m == w || m.Field == w.Field && m.Operator == selection.Equals && w.Operator == selection.NotEquals && m.Value != w.Value
}

// selectable are the fields that the API server selects by, besides the name and
// the namespace, from the same functions as rules; not all, but what clients use.
// Others mean 400 there, so nothing can be said of them here.
var selectable = map[string][]string{
	"pods": {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
		"status.phase", "status.podIP", "status.nominatedNodeName"},
	"nodes":      {"spec.unschedulable"},
	"secrets":    {"type"},
	"services":   {"spec.clusterIP", "spec.type"},
	"namespaces": {"status.phase"},
}

// canTell reports whether a field's value follows from an object's JSON here as it
// does in the API server.
func canTell(resource, field string) bool {
	return field == "metadata.name" || field == "metadata.namespace" || slices.Contains(selectable[resource], field)
}
