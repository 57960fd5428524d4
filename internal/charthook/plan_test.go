package charthook

import (
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// crd makes a CRD of a version of Akri that serves the named versions.
func crd(akri string, serves ...string) *apiextensionsv1.CustomResourceDefinition {
	c := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "configurations.akri.sh"}}
	if akri != "" {
		c.Annotations = map[string]string{VersionAnnotation: akri}
	}
	for _, v := range serves {
		c.Spec.Versions = append(c.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{Name: v, Served: true})
	}
	return c
}

func TestPlan(t *testing.T) {
	deleted := crd("0.3.0", "v0")
	deleted.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	unserved := crd("0.3.0", "v0", "v1")
	unserved.Spec.Versions[0].Served = false
	for _, c := range []struct {
		name string
		have *apiextensionsv1.CustomResourceDefinition
		want Step
		err  string
	}{
		{name: "none", want: Write},
		{name: "upstream's", have: crd("", "v0"), want: Write},
		{name: "not a version", have: crd("newest", "v0"), want: Write},
		{name: "older", have: crd("0.1.9", "v0"), want: Write},
		{name: "the same", have: crd("0.2.0", "v0"), want: Write},
		{name: "candidate of the same", have: crd("0.2.0-rc.1", "v0"), want: Write},
		{name: "newer", have: crd("0.3.0", "v0", "v1"), want: Keep},
		{name: "newer, by number and not by letter", have: crd("0.10.0", "v0"), want: Keep},
		{name: "newer without v0", have: crd("0.3.0", "v1"), err: "install Akri 0.3.0"},
		{name: "newer, v0 not served", have: unserved, err: "no longer serves v0"},
		{name: "being deleted", have: deleted, want: Wait},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Plan(c.have, crd("0.2.0", "v0"))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	condition := func(kind apiextensionsv1.CustomResourceDefinitionConditionType, s apiextensionsv1.ConditionStatus) apiextensionsv1.CustomResourceDefinitionCondition {
		return apiextensionsv1.CustomResourceDefinitionCondition{Type: kind, Status: s, Message: "akric is taken"}
	}
	for _, c := range []struct {
		name    string
		have    []apiextensionsv1.CustomResourceDefinitionCondition
		why     string
		refused bool
	}{
		{"fresh", nil, "not accepted it", false},
		{"established", []apiextensionsv1.CustomResourceDefinitionCondition{
			condition(apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionTrue),
			condition(apiextensionsv1.Established, apiextensionsv1.ConditionTrue)}, "", false},
		{"names in use", []apiextensionsv1.CustomResourceDefinitionCondition{
			condition(apiextensionsv1.Established, apiextensionsv1.ConditionTrue),
			condition(apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionFalse)}, "akric is taken", true},
	} {
		x := crd("0.2.0", "v0")
		x.Status.Conditions = c.have
		why, refused := missing(x)
		if refused != c.refused || !strings.Contains(why, c.why) || (c.why == "") != (why == "") {
			t.Errorf("%s: %q, %v", c.name, why, refused)
		}
	}
}
