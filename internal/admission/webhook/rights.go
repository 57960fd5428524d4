package webhook

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/workload"
)

// rightOf is the right to create what is made from a spec.
func rightOf(k workload.Kind) (group, resource string) {
	switch k {
	case workload.Pod:
		return "", "pods"
	case workload.Job:
		return "batch", "jobs"
	}
	return "", "services"
}

// denial asks the API server whether the user who writes a Configuration may
// create what the controller will create from one of its specs. It returns why
// not, or "". Without an answer it fails: who has the right can try again a moment
// later.
func denial(ctx context.Context, api client.Writer, who authenticationv1.UserInfo, namespace string, k workload.Kind) (string, error) {
	group, resource := rightOf(k)
	allowed, err := may(ctx, api, who, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Group: group, Resource: resource})
	unknown := fmt.Sprintf("cannot find out whether %s may create %s in namespace %s", admission.Short(who.Username, 100), resource, namespace)
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("%s: %v. The controller lacks the right to create subjectaccessreviews", unknown, err), nil
	case err != nil:
		return "", fmt.Errorf("%s: %w", unknown, err)
	case allowed:
		return "", nil
	}
	return fmt.Sprintf("%s may not create %s in namespace %s, and they would be created from this. Ask for that right, which the ClusterRole edit has",
		admission.Short(who.Username, 100), resource, namespace), nil
}

// mayList reports whether a user may list the Configurations of all namespaces.
func mayList(ctx context.Context, api client.Writer, who authenticationv1.UserInfo) bool {
	allowed, err := may(ctx, api, who, authorizationv1.ResourceAttributes{Verb: "list", Group: v0.GroupVersion.Group, Resource: "configurations"})
	return err == nil && allowed
}

// may asks the API server whether a user may do something.
func may(ctx context.Context, api client.Writer, who authenticationv1.UserInfo, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &what, User: who.Username, UID: who.UID, Groups: who.Groups, Extra: map[string]authorizationv1.ExtraValue{},
	}}
	for key, values := range who.Extra {
		review.Spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	err := api.Create(ctx, review)
	return review.Status.Allowed, err
}
