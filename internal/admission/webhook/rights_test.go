package webhook

import (
	"context"
	"errors"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
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
	}{
		{"may", workload.Pod, authorizer{allowed: true}, "", "pods", "-"},
		{"may not", workload.Job, authorizer{}, "batch", "jobs", "jane may not create jobs in namespace edge"},
		{"no answer", workload.Service, authorizer{allowed: true, err: errors.New("away")}, "", "services", "away. Try again"},
	} {
		got := denial(t.Context(), &tt.api, who, "edge", tt.kind)
		if tt.says == "-" && got != "" || tt.says != "-" && !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q", tt.name, got)
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
