package webhook

import (
	"context"
	"errors"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	"github.com/akri-go/akri/internal/workload"
)

// authorizer answers SubjectAccessReviews.
type authorizer struct {
	client.Writer
	asked   authorizationv1.SubjectAccessReviewSpec
	allowed bool
	err     error
}

func (a *authorizer) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	r := o.(*authorizationv1.SubjectAccessReview)
	a.asked = r.Spec
	r.Status.Allowed = a.allowed
	return a.err
}

func TestDenial(t *testing.T) {
	who := authenticationv1.UserInfo{Username: "jane", UID: "u", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}
	for _, tt := range []struct {
		name            string
		kind            workload.Kind
		api             authorizer
		group, resource string
		says            string // "-": allowed
		fails           string
	}{
		{"may", workload.Pod, authorizer{allowed: true}, "", "pods", "-", ""},
		{"may not", workload.Job, authorizer{}, "batch", "jobs", "jane may not create jobs in namespace edge", ""},
		{"may not ask", workload.Job, authorizer{allowed: true, err: apierrors.NewForbidden(schema.GroupResource{Resource: "subjectaccessreviews"}, "", errors.New("no role"))},
			"batch", "jobs", "lacks the right to create subjectaccessreviews", ""},
		{"no answer", workload.Service, authorizer{allowed: true, err: errors.New("away")}, "", "services", "-", "whether jane may create services in namespace edge: away"},
	} {
		got, err := denial(t.Context(), &tt.api, who, "edge", tt.kind)
		if tt.says == "-" && got != "" || tt.says != "-" && !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q", tt.name, got)
		}
		if err == nil && tt.fails != "" || err != nil && (tt.fails == "" || !strings.Contains(err.Error(), tt.fails)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.fails)
		}
		want := authorizationv1.SubjectAccessReviewSpec{
			User: "jane", UID: "u", Groups: []string{"g"}, Extra: map[string]authorizationv1.ExtraValue{"k": {"v"}},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "edge", Verb: "create", Group: tt.group, Resource: tt.resource},
		}
		if d := cmp.Diff(want, tt.api.asked); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}
