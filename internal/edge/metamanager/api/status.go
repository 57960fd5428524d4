package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// What clients are told to wait for: when something cannot be answered now, and
// when there is too much at once.
const (
	retryAfterSeconds     = 5
	busyRetryAfterSeconds = 1
)

func (t target) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: t.resource.Group, Resource: t.resource.Name}
}

func status(code int, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}}
}

func unavailable(message string) *apierrors.StatusError {
	return status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message)
}

// tooLarge is what the API server says of a resourceVersion that it does not
// have yet; client-go lists anew then.
func tooLarge() *apierrors.StatusError {
	s := apierrors.NewTimeoutError("Too large resource version", 1)
	s.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return s
}

func expired() *apierrors.StatusError {
	return apierrors.NewResourceExpired("too old resource version")
}

func insufficientStorage(err error) *apierrors.StatusError {
	return status(http.StatusInsufficientStorage, metav1.StatusReasonInternalError,
		"the edge node cannot store this: "+err.Error()+"; make room on its disk")
}

// asStatus makes an answer of an error. Where trying again is of use, it says
// when.
func asStatus(err error) metav1.Status {
	s := statusOf(err)
	seconds := int32(0)
	switch s.Code {
	case http.StatusServiceUnavailable:
		seconds = retryAfterSeconds
	case http.StatusTooManyRequests:
		seconds = busyRetryAfterSeconds
	}
	if seconds > 0 && (s.Details == nil || s.Details.RetryAfterSeconds <= 0) {
		details := metav1.StatusDetails{}
		if s.Details != nil {
			details = *s.Details
		}
		details.RetryAfterSeconds = seconds
		s.Details = &details
	}
	return s
}

// statusOf is the Status of an error. What is not known further is a matter of
// the link.
func statusOf(err error) metav1.Status {
	var api apierrors.APIStatus
	switch {
	case errors.As(err, &api):
		return api.Status()
	case errors.Is(err, store.ErrExpired):
		return expired().ErrStatus
	case errors.Is(err, store.ErrTooLarge):
		return tooLarge().ErrStatus
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrNotWritten):
		return insufficientStorage(err).ErrStatus
	case errors.Is(err, store.ErrNotSynced):
		return unavailable("the link to cloudcore is cut, and this was never synced").ErrStatus
	}
	return unavailable(err.Error()).ErrStatus
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	s := asStatus(err)
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	writeJSON(w, int(s.Code), s)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // of our own types: it cannot be
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeRaw(w, code, "application/json", append(data, '\n'))
}

func writeRaw(w http.ResponseWriter, code int, contentType string, body []byte) {
	if contentType == "" {
		contentType = "application/json"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client may have gone
}
