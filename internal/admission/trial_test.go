package admission

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestJudge(t *testing.T) {
	const resource = "akri.sh/cam-000000"
	pods := schema.GroupResource{Resource: "pods"}
	invalid := func(errs ...*field.Error) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "cam-000000-pod", errs)
	}
	const noField = "this cluster's Kubernetes has no such field: check its spelling and place"
	for name, tt := range map[string]struct {
		err  error
		want Verdict
	}{
		"accepted": {nil, Verdict{Answered: true}},
		"is there": {apierrors.NewAlreadyExists(pods, "x"), Verdict{Answered: true}},
		"unknown fields": {
			apierrors.NewBadRequest(`Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imag", unknown field "spec.x"`),
			Verdict{Answered: true, Faults: []Fault{{"containers[0].imag", field.ErrorTypeInvalid, noField}, {"x", field.ErrorTypeInvalid, noField}}}},
		"of another type": {apierrors.NewBadRequest(`Job in version "v1" cannot be handled as a Job: json: cannot unmarshal`),
			Verdict{Answered: true, Faults: []Fault{{"", field.ErrorTypeInvalid, "cannot be read: json: cannot unmarshal"}}}},
		"another webhook does no dry runs": {apierrors.NewBadRequest("admission webhook x does not support dry run"),
			Verdict{Objection: "admission webhook x does not support dry run"}},
		"makes no sense": {invalid(field.Invalid(field.NewPath("spec", "containers").Index(0).Child("resources").Key(resource), "1", "no "+resource), field.Required(field.NewPath("metadata", "name"), "")),
			Verdict{Answered: true, Faults: []Fault{
				{"containers[0].resources[{{PLACEHOLDER}}]", field.ErrorTypeInvalid, `"1": no {{PLACEHOLDER}}`},
				{"", field.ErrorTypeRequired, "metadata.name: "}}}},
		"invalid without causes": {invalid(), Verdict{Answered: true, Faults: []Fault{{"", field.ErrorTypeInvalid, `Pod "cam-000000-pod" is invalid`}}}},
		"node port of our own": {invalid(field.Invalid(field.NewPath("spec", "ports").Index(0).Child("nodePort"), 30000, "provided port is already allocated")),
			Verdict{Answered: true, Objection: "30000: provided port is already allocated"}},
		"policy": {apierrors.NewForbidden(pods, "x", errors.New(`violates PodSecurity "restricted:latest": privileged`)),
			Verdict{Answered: true, Objection: `violates PodSecurity "restricted:latest": privileged`}},
		"too late":   {context.DeadlineExceeded, Verdict{Objection: "context deadline exceeded"}},
		"in trouble": {apierrors.NewInternalError(errors.New("etcd")), Verdict{Objection: "Internal error occurred: etcd"}},
	} {
		if d := cmp.Diff(tt.want, judge(tt.err, resource)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestTrial(t *testing.T) {
	c := parse(t, good)
	for _, s := range specsOf(c) {
		o, err := trial(s, c)
		if err != nil {
			t.Fatal(err)
		}
		if o.GetNamespace() != "edge" || o.GetName() == "" || o.GetOwnerReferences() != nil || o.Object["spec"] == nil {
			t.Errorf("%s: %v", s.path, o.Object)
		}
	}
	if n := len(specsOf(c)); n != 2 {
		t.Errorf("%d specs", n)
	}
}
