package grant

import (
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"

	authzv1 "k8s.io/api/authorization/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// maxSelectorBytes bounds each selector of an interest. Long lists of values
// belong to nobody: a URL has 8 KiB at most at many servers.
const maxSelectorBytes = 2 << 10

// SelectionOf checks an interest and returns what it selects. The error says
// what is wrong with it.
func SelectionOf(i *edgev1.Interest) (index.Selection, error) {
	s := index.Selection{
		Resource: kube.Resource{Group: i.Group, Version: i.Version, Resource: i.Resource, Namespace: i.Namespace},
		Fields:   i.FieldSelector, Labels: i.LabelSelector,
	}
	switch {
	case i.Group != "" && len(validation.IsDNS1123Subdomain(i.Group)) > 0:
		return s, invalid("%q is no API group", short(i.Group))
	case len(validation.IsDNS1123Label(i.Version)) > 0:
		return s, invalid("%q is no version of an API group", short(i.Version))
	case len(validation.IsDNS1123Label(i.Resource)) > 0:
		return s, invalid("%q is no resource, such as pods", short(i.Resource))
	case i.Namespace != "" && len(validation.IsDNS1123Label(i.Namespace)) > 0:
		return s, invalid("%q is no namespace", short(i.Namespace))
	case len(i.FieldSelector) > maxSelectorBytes || len(i.LabelSelector) > maxSelectorBytes:
		return s, invalid("a selector has more than %d bytes", maxSelectorBytes)
	}
	s, err := index.Canonical(s)
	if err != nil {
		return s, invalid("%v", err)
	}
	name, named := NameOf(s)
	switch {
	case named && len(content.IsPathSegmentName(name)) > 0:
		return s, invalid("%q is no name of an object", short(name))
	case i.Get && (!named || s.Labels != "" || s.Fields != "metadata.name="+name):
		return s, invalid("an interest that is only read needs the field selector metadata.name=<name>, and no other")
	}
	return s, nil
}

// NameOf returns the name that a selection is limited to.
func NameOf(s index.Selection) (string, bool) {
	f, err := fields.ParseSelector(s.Fields)
	if err != nil {
		return "", false
	}
	return f.RequiresExactMatch("metadata.name")
}

// attributes are what the API server is asked about a selection.
func attributes(s index.Selection, verb string) *authzv1.ResourceAttributes {
	a := &authzv1.ResourceAttributes{
		Verb: verb, Group: s.Group, Version: s.Version, Resource: s.Resource.Resource, Namespace: s.Namespace,
	}
	a.Name, _ = NameOf(s)
	if verb == "get" {
		return a
	}
	if s.Fields != "" {
		a.FieldSelector = &authzv1.FieldSelectorAttributes{RawSelector: s.Fields}
	}
	if s.Labels != "" {
		a.LabelSelector = &authzv1.LabelSelectorAttributes{RawSelector: s.Labels}
	}
	return a
}

// isName tells whether a text can be a part of a service account's name.
func isName(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }
