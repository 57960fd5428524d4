package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// Where trying again is of use, clients are told when.
func TestRetryAfter(t *testing.T) {
	tooMany := func(details *metav1.StatusDetails) error {
		s := status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "x")
		s.ErrStatus.Details = details
		return s
	}
	for name, c := range map[string]struct {
		err   error
		code  int
		after string
	}{
		"too many":                        {tooMany(nil), 429, "1"},
		"too many, of something":          {tooMany(&metav1.StatusDetails{Kind: "pods"}), 429, "1"},
		"too many, and the cloud says so": {tooMany(&metav1.StatusDetails{RetryAfterSeconds: 7}), 429, "7"},
		"cut":                             {unavailable("x"), 503, "5"},
		"never synced":                    {store.ErrNotSynced, 503, "5"},
		"something else":                  {errors.New("x"), 503, "5"},
		"the cloud's, without a body":     {replyError(edgev1.Reply{Status: 502, RetryAfter: 1500 * time.Millisecond}), 502, "2"},
		"full":                            {store.ErrFull, 507, ""},
		"not there":                       {notFoundPath(), 404, ""},
		"an RV of the future":             {store.ErrTooLarge, 504, "1"},
		"refused":                         {apierrors.NewBadRequest("x"), 400, ""},
	} {
		w := httptest.NewRecorder()
		fail(w, c.err)
		if got := w.Header().Get("Retry-After"); w.Code != c.code || got != c.after {
			t.Errorf("%s: %d, Retry-After %q; want %d, %q", name, w.Code, got, c.code, c.after)
		}
	}
}
