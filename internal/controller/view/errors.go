package view

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Temporary reports whether the same request may succeed a moment later: there
// was no answer, the API server is overloaded, or does not know our token while
// it is rotated. All other errors are about the request: an invalid spec, a
// policy, a quota.
func Temporary(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // the request did not arrive, or the answer did not
	}
	code := status.Status().Code
	return code == 429 || code >= 500 || apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsUnauthorized(err)
}
