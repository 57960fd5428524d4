package index

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// Selection is what is followed.
type Selection struct {
	kube.Resource
	// Fields and Labels are selectors in canonical form; see [Canonical].
	Fields, Labels string
}

// Own is a resource whose feed cloudcore opens in its own name.
type Own struct {
	kube.Resource
	// OnDemand is for what cloudcore itself does not need: the feed is there while
	// somebody follows it, and fails where the API server refuses it.
	OnDemand bool
	// Fields is the field selector of the watch, such as spec.nodeName!= for
	// Pods that are bound.
	Fields string
	// By is the field that nodes select by: spec.nodeName or metadata.name.
	By string
	// Keep returns what else is to be kept of an object, nil for nothing. It
	// should be small, and equal objects' should be one.
	Keep func(object []byte) any
}

// Canonical returns a selection whose selectors are in canonical form: equal
// ones are equal texts. The error says which selector is wrong.
func Canonical(s Selection) (Selection, error) {
	f, err := fields.ParseSelector(s.Fields)
	if err != nil {
		return s, fmt.Errorf("field selector: %w", err)
	}
	l, err := labels.Parse(s.Labels)
	if err != nil {
		return s, fmt.Errorf("label selector: %w", err)
	}
	s.Fields, s.Labels = fieldText(f.Requirements()), labelText(l)
	return s, nil
}

// labelText is a label selector's text, in the order of keys, with = for ==.
func labelText(selector labels.Selector) string {
	requirements, _ := selector.Requirements()
	out := labels.NewSelector()
	for _, r := range requirements {
		if r.Operator() == selection.DoubleEquals {
			if same, err := labels.NewRequirement(r.Key(), selection.Equals, r.ValuesUnsorted()); err == nil {
				r = *same
			}
		}
		out = out.Add(r)
	}
	return out.String()
}

// fieldText is a field selector's text. [fields.Selector] has no order.
func fieldText(requirements fields.Requirements) string {
	slices.SortFunc(requirements, func(a, b fields.Requirement) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Value, b.Value))
	})
	var all []fields.Selector
	for _, r := range slices.Compact(requirements) {
		if r.Operator == selection.NotEquals {
			all = append(all, fields.OneTermNotEqualSelector(r.Field, r.Value))
		} else {
			all = append(all, fields.OneTermEqualSelector(r.Field, r.Value))
		}
	}
	return fields.AndSelectors(all...).String()
}

// slicer says by what a feed is sliced: a field, a label, or the nodes of
// endpoints; none of them if it is not.
type slicer struct {
	field, label string
	endpoints    bool
}

func (s slicer) none() bool { return s == slicer{} }

// of returns the slice that an object is in; with the nodes of endpoints these
// can be several.
func (s slicer) of(m *kube.Meta, object []byte) string {
	switch {
	case s.endpoints:
		return nodesOf(m, object)
	case s.label != "":
		return m.Metadata.Labels[s.label]
	case s.field == "spec.nodeName":
		return m.Spec.NodeName
	case s.field == "metadata.name":
		return m.Metadata.Name
	}
	return ""
}

// isSlice tells whether a value can be one slice: what an edge node writes into a
// selector must not become several.
func isSlice(value string) bool { return value != "" && !strings.Contains(value, separator) }

// cut is how a selection is had of a feed.
type cut struct {
	whole Selection // what the feed watches
	by    slicer
	slice string
	own   *Own
}

// cutOf decides which feed serves a selection, in canonical form, of a node, which
// reaches the endpoints of some nodes; with none it is not known which.
func cutOf(s Selection, node string, reach []string, own []Own) cut {
	f, _ := fields.ParseSelector(s.Fields)
	for i := range own {
		o := &own[i]
		if s.Resource != o.Resource || s.Labels != "" {
			continue
		}
		whole := Selection{Resource: o.Resource, Fields: o.Fields}
		r := f.Requirements()
		switch {
		case s.Fields == o.Fields:
			return cut{whole: whole, by: slicer{field: o.By}, own: o}
		case len(r) == 1 && r[0].Field == o.By && r[0].Operator != selection.NotEquals && isSlice(r[0].Value):
			return cut{whole: whole, by: slicer{field: o.By}, slice: r[0].Value, own: o}
		}
	}
	l, _ := labels.Parse(s.Labels)
	requirements, _ := l.Requirements()
	for i, r := range requirements {
		value := r.ValuesUnsorted()
		if r.Operator() != selection.Equals || len(value) != 1 || value[0] != node || node == "" {
			continue
		}
		exists, err := labels.NewRequirement(r.Key(), selection.Exists, nil)
		if err != nil {
			continue
		}
		whole := s
		whole.Labels = labels.NewSelector().Add(slices.Replace(slices.Clone(requirements), i, i+1, *exists)...).String()
		return cut{whole: whole, by: slicer{label: r.Key()}, slice: node}
	}
	if isEndpointSlices(s.Resource) && len(reach) > 0 {
		return cut{whole: s, by: slicer{endpoints: true}, slice: slicesOf(reach)}
	}
	return cut{whole: s}
}
