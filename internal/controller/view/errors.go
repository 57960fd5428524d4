package view

import (
	"errors"
	"strings"

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

// MissingRight reports whether the API server refused a request because the
// controller has no right to it, and not because of what the request has in it,
// as quotas and policies do with the same code. An API server that has just
// started does so until it has read its roles.
func MissingRight(err error) bool {
	// responsewriters.ForbiddenStatusError of k8s.io/apiserver.
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "is forbidden: User ")
}
