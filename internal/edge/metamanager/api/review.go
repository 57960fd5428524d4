package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

// The reviews that the kubelet asks for, about who calls it.
var (
	tokenReviews  = store.Resource{Group: "authentication.k8s.io", Version: "v1", Name: "tokenreviews"}
	accessReviews = store.Resource{Group: "authorization.k8s.io", Version: "v1", Name: "subjectaccessreviews"}
)

// isReview reports whether the kubelet asks for a review. It does so in JSON.
func isReview(r *http.Request, t target, user User) bool {
	return user.isNode() && isJSON(r) && r.Method == http.MethodPost && t.namespace == "" && t.name == "" &&
		(t.resource == tokenReviews || t.resource == accessReviews)
}

// serveReview answers a review. A token of a Pod of this node is judged here, so
// that it does not leave the node; all else the API server judges while the link
// is there.
func (s *Server) serveReview(w http.ResponseWriter, r *http.Request, t target, user User) {
	body, err := readBody(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	if t.resource == tokenReviews {
		s.reviewToken(w, r, user, body)
	} else {
		s.reviewAccess(w, r, user, body)
	}
}

func (s *Server) reviewToken(w http.ResponseWriter, r *http.Request, user User, body []byte) {
	var review authenticationv1.TokenReview
	if json.Unmarshal(body, &review) != nil {
		fail(w, apierrors.NewBadRequest("want a TokenReview as JSON"))
		return
	}
	var claims tokens.Claims
	err := errNoSigner
	if s.Signer != nil {
		claims, err = s.verify(r.Context(), review.Spec.Token, review.Spec.Audiences)
	}
	if err != nil && s.Cloud.Linked() {
		reply, err := s.call(r.Context(), callOf(r, user, body))
		if err != nil {
			fail(w, err)
			return
		}
		passOn(w, reply)
		return
	}
	review.Kind, review.APIVersion = "TokenReview", authenticationv1.SchemeGroupVersion.String()
	review.Status = authenticationv1.TokenReviewStatus{}
	if err != nil {
		review.Status.Error = err.Error()
	} else {
		k := claims.Kubernetes
		wanted := review.Spec.Audiences
		if len(wanted) == 0 {
			wanted = s.audiences()
		}
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true,
			User: authenticationv1.UserInfo{
				Username: claims.Subject, UID: k.ServiceAccount.UID,
				Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + k.Namespace, "system:authenticated"},
				Extra: map[string]authenticationv1.ExtraValue{
					"authentication.kubernetes.io/node-name": {s.Node},
					"authentication.kubernetes.io/pod-name":  {k.Pod.Name},
					"authentication.kubernetes.io/pod-uid":   {k.Pod.UID},
				},
			},
			Audiences: slices.DeleteFunc(slices.Clone(claims.Audiences), func(a string) bool { return !slices.Contains(wanted, a) }),
		}
	}
	writeJSON(w, http.StatusCreated, review)
}

func (s *Server) reviewAccess(w http.ResponseWriter, r *http.Request, user User, body []byte) {
	var review authorizationv1.SubjectAccessReview
	if json.Unmarshal(body, &review) != nil {
		fail(w, apierrors.NewBadRequest("want a SubjectAccessReview as JSON"))
		return
	}
	if s.Cloud.Linked() {
		reply, err := s.call(r.Context(), callOf(r, user, body))
		if err == nil && !unreachable(reply.Status) {
			var answer authorizationv1.SubjectAccessReview
			if reply.Status == http.StatusCreated && json.Unmarshal(reply.Body, &answer) == nil {
				s.reviews.set(review.Spec, answer.Status)
			}
			passOn(w, reply)
			return
		}
	}
	review.Kind, review.APIVersion = "SubjectAccessReview", authorizationv1.SchemeGroupVersion.String()
	known := false
	if review.Status, known = s.reviews.get(review.Spec); !known {
		review.Status.Reason = "the link to cloudcore is cut, and this was not allowed when it was last asked, if it was"
	}
	writeJSON(w, http.StatusCreated, review)
}

// maxReviews is how many answers are remembered.
const maxReviews = 256

// maxQuestionBytes bounds a question that is remembered.
const maxQuestionBytes = 8 << 10

// reviews are the answers of the API server to the last reviews that it has allowed,
// by the question: others are denied anyway, and whoever may do nothing can ask as
// many as he likes. They are in memory alone.
type reviews struct {
	mu      sync.Mutex
	answers map[string]authorizationv1.SubjectAccessReviewStatus
	order   []string // oldest first
}

// question is the same text for equal questions.
func question(spec authorizationv1.SubjectAccessReviewSpec) string {
	text, _ := json.Marshal(spec) // of our own types: it always can be
	return string(text)
}

func (v *reviews) set(spec authorizationv1.SubjectAccessReviewSpec, answer authorizationv1.SubjectAccessReviewStatus) {
	q := question(spec)
	v.mu.Lock()
	defer v.mu.Unlock()
	if !answer.Allowed {
		delete(v.answers, q)
		v.order = slices.DeleteFunc(v.order, func(o string) bool { return o == q })
		return
	}
	if len(q) > maxQuestionBytes {
		return
	}
	if v.answers == nil {
		v.answers = map[string]authorizationv1.SubjectAccessReviewStatus{}
	}
	if _, known := v.answers[q]; !known {
		if len(v.order) >= maxReviews {
			delete(v.answers, v.order[0])
			v.order = v.order[1:]
		}
		v.order = append(v.order, q)
	}
	v.answers[q] = answer
}

func (v *reviews) get(spec authorizationv1.SubjectAccessReviewSpec) (authorizationv1.SubjectAccessReviewStatus, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	answer, ok := v.answers[question(spec)]
	return answer, ok
}
