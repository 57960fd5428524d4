package charts

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The policies know all fields of an Instance: managedFields may name any of
// them, whoever writes, and an agent's write repeats them.
func TestPoliciesKnowAllFields(t *testing.T) {
	known := ""
	key := "ValidatingAdmissionPolicy/akri-agent-instance-update"
	for _, v := range decode[admissionregistrationv1.ValidatingAdmissionPolicy](t, render(t), key).Spec.Variables {
		if v.Name == "fields" {
			known = v.Expression
		}
	}
	crds, err := CRDs()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, doc := range crds {
		crd := map[string]any{}
		if err := yaml.Unmarshal(doc, &crd); err != nil {
			t.Fatal(err)
		}
		if kind, _, _ := unstructured.NestedString(crd, "spec", "names", "kind"); kind != "Instance" {
			continue
		}
		versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
		for _, version := range versions {
			for _, part := range []string{"spec", "status"} {
				fields, _, err := unstructured.NestedMap(version.(map[string]any), "schema", "openAPIV3Schema", "properties", part, "properties")
				if err != nil {
					t.Fatal(err)
				}
				for field := range fields {
					checked++
					if !strings.Contains(known, `"f:`+field+`"`) {
						t.Errorf("%s.%s is not among the fields that managedFields may speak of:\n%s", part, field, known)
					}
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("an Instance has %d fields", checked)
	}
}
