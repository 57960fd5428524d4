package webhook

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/admission/admissiontest"
	"github.com/akri-go/akri/internal/workload"
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
		want admission.Verdict
	}{
		"accepted": {nil, admission.Verdict{Answered: true}},
		"is there": {apierrors.NewAlreadyExists(pods, "x"), admission.Verdict{Answered: true}},
		"unknown fields": {
			apierrors.NewBadRequest(`Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imag", unknown field "spec.x"`),
			admission.Verdict{Answered: true, Faults: []admission.Fault{{Field: "containers[0].imag", Type: field.ErrorTypeInvalid, Reason: noField}, {Field: "x", Type: field.ErrorTypeInvalid, Reason: noField}}}},
		"of another type": {apierrors.NewBadRequest(`Job in version "v1" cannot be handled as a Job: json: cannot unmarshal`),
			admission.Verdict{Answered: true, Faults: []admission.Fault{{Field: "", Type: field.ErrorTypeInvalid, Reason: "cannot be read: json: cannot unmarshal"}}}},
		"another webhook does no dry runs": {apierrors.NewBadRequest("admission webhook x does not support dry run"),
			admission.Verdict{Objection: "admission webhook x does not support dry run"}},
		"makes no sense": {invalid(field.Invalid(field.NewPath("spec", "containers").Index(0).Child("resources").Key(resource), "1", "no "+resource), field.Required(field.NewPath("metadata", "name"), "")),
			admission.Verdict{Answered: true, Faults: []admission.Fault{
				{Field: "containers[0].resources[{{PLACEHOLDER}}]", Type: field.ErrorTypeInvalid, Reason: `"1": no {{PLACEHOLDER}}`},
				{Field: "", Type: field.ErrorTypeRequired, Reason: "metadata.name: "}}}},
		"invalid without causes": {invalid(), admission.Verdict{Answered: true, Faults: []admission.Fault{{Field: "", Type: field.ErrorTypeInvalid, Reason: `Pod "cam-000000-pod" is invalid`}}}},
		"node port of our own": {invalid(field.Invalid(field.NewPath("spec", "ports").Index(0).Child("nodePort"), 30000, "provided port is already allocated")),
			admission.Verdict{Answered: true, Objection: "30000: provided port is already allocated"}},
		"policy": {apierrors.NewForbidden(pods, "x", errors.New(`violates PodSecurity "restricted:latest": privileged`)),
			admission.Verdict{Answered: true, Objection: `violates PodSecurity "restricted:latest": privileged`}},
		"too late": {context.DeadlineExceeded, admission.Verdict{Objection: "context deadline exceeded"}},
		"fails":    {apierrors.NewInternalError(errors.New("etcd")), admission.Verdict{Objection: "Internal error occurred: etcd"}},
	} {
		if d := cmp.Diff(tt.want, judge(tt.err, resource)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestTrial(t *testing.T) {
	c := &v0.Configuration{}
	if err := yaml.UnmarshalStrict([]byte(admissiontest.Good), c); err != nil {
		t.Fatal(err)
	}
	for _, s := range workload.SpecsOf(c) {
		o, err := trial(s, c)
		if err != nil {
			t.Fatal(err)
		}
		if o.GetNamespace() != "edge" || o.GetName() == "" || o.GetOwnerReferences() != nil || o.Object["spec"] == nil {
			t.Errorf("%s: %v", s.Path, o.Object)
		}
	}
	if n := len(workload.SpecsOf(c)); n != 2 {
		t.Errorf("%d specs", n)
	}
}
