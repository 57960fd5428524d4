package view

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Temporary tells whether the same request may succeed a moment later: no
// answer came, the API server has too much to do, or does not know our token
// while it is rotated. All else is about what we asked for: an invalid spec, a
// policy, a quota.
func Temporary(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // the request did not reach the API server, or no answer came back
	}
	code := status.Status().Code
	return code == 429 || code >= 500 || apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsUnauthorized(err)
}
