package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

const (
	// askTimeout bounds one question to the API server.
	askTimeout = 10 * time.Second
	// maxAnswerBytes bounds its answer.
	maxAnswerBytes = 1 << 20
	// DefaultTTL is how long an answer that allows is used again: when many nodes
	// connect at once, or one often.
	DefaultTTL = 10 * time.Second
	// maxRemembered is how many such answers are kept for one TTL.
	maxRemembered = 20_000
)

// Options say what grants work with.
type Options struct {
	Client *kube.Client
	// TTL is how long an answer that allows is used again; 0: [DefaultTTL]. A
	// refusal is never remembered.
	TTL time.Duration
	// Again is how long to wait before a refusal is asked about again, for each
	// time; nil: 300 ms, 700 ms and 1.5 s. The authorizers of the API server learn
	// of a new Pod, and of new roles, a moment later than cloudcore.
	Again []time.Duration
}

// Grants asks the API server what users may have. Its methods may be called by
// several goroutines.
type Grants struct {
	Options
	asked, refused atomic.Int64

	mu           sync.Mutex
	fresh, older map[string]struct{} // questions that were allowed
	freshSince   time.Time
}

// New returns grants.
func New(o Options) *Grants {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Again == nil {
		o.Again = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond}
	}
	return &Grants{Options: o, fresh: map[string]struct{}{}}
}

// Allow returns nil if the user may follow the selection, or, with get, read the
// one object that it names. An error for which [kube.Refused] is true is a
// refusal; with any other one the API server could not be asked.
func (g *Grants) Allow(ctx context.Context, as kube.User, s index.Selection, get bool) error {
	verb := "watch"
	if get {
		verb = "get"
	}
	question := questionOf(as, s, verb)
	if question != "" && g.remembers(question, time.Now()) {
		return nil
	}
	if all, ok := allOf(as, s); ok && !get {
		allowed, err := g.allows(ctx, as, all)
		if allowed || err != nil {
			return err
		}
	}
	for tries := 0; ; tries++ {
		why, err := g.ask(ctx, as, s, verb)
		switch {
		case err != nil:
			return fmt.Errorf("ask whether %s may %s %s: %w", as.Name, verb, s.Path(), err)
		case why == "":
			if question != "" {
				g.remember(question, time.Now())
			}
			return nil
		case tries < len(g.Again):
			if err := backoff.Sleep(ctx, g.Again[tries]); err != nil {
				return err
			}
			continue
		}
		if err := g.ready(ctx); err != nil {
			return fmt.Errorf("the API server is not ready and refuses: %w", err)
		}
		g.refused.Add(1)
		return forbidden("%s may not %s %s%s: %s", as.Name, verb, s.Path(), selectors(s), why)
	}
}

// allOf returns what is asked for first of a component that follows the Node that
// it runs on. It is one user on all nodes: one that may follow all Nodes may follow
// each, and a thousand nodes that connect at once do not ask a thousand times.
func allOf(as kube.User, s index.Selection) (index.Selection, bool) {
	if _, named := NameOf(s); !named || as.Name != kube.Component(KubeProxy).Name {
		return s, false
	}
	s.Fields, s.Labels = "", ""
	return s, true
}

// allows tells whether a user may follow a selection, and remembers that it may.
func (g *Grants) allows(ctx context.Context, as kube.User, s index.Selection) (bool, error) {
	question := questionOf(as, s, "watch")
	if g.remembers(question, time.Now()) {
		return true, nil
	}
	why, err := g.ask(ctx, as, s, "watch")
	if err != nil {
		return false, fmt.Errorf("ask whether %s may watch %s: %w", as.Name, s.Path(), err)
	}
	if why != "" {
		return false, nil
	}
	g.remember(question, time.Now())
	return true, nil
}

// everyNode are the resources of which the Node authorizer gives every node the
// same, or its own, by rule: then the answer for one node is that for all, and a
// thousand nodes that connect at once do not ask a thousand times.
var everyNode = []string{
	"/pods", "/nodes", "/services", "node.k8s.io/runtimeclasses", "storage.k8s.io/csidrivers",
	"certificates.k8s.io/podcertificaterequests",
}

// questionOf is the same text for questions with the same answer; "" for those
// whose answer must not be used again, since it changes with the node's Pods.
func questionOf(as kube.User, s index.Selection, verb string) string {
	who, fields := as.Key(), s.Fields
	if node, ok := as.IsNode(); ok {
		switch {
		case slices.Contains(everyNode, s.Group+"/"+s.Resource.Resource) && s.Namespace == "":
			who = "every node"
			for _, own := range []string{"spec.nodeName=", "metadata.name="} {
				if fields == own+node {
					fields = own + "<its own>"
				}
			}
		case s.Namespace != "":
			return ""
		}
	}
	return fmt.Sprintf("%s %s %s %q %q", who, verb, s.Path(), fields, s.Labels)
}

func selectors(s index.Selection) string {
	out := ""
	if s.Fields != "" {
		out += fmt.Sprintf(" with field selector %q", short(s.Fields))
	}
	if s.Labels != "" {
		out += fmt.Sprintf(" with label selector %q", short(s.Labels))
	}
	return out
}

// ask makes one SubjectAccessReview. It returns why not, or "".
func (g *Grants) ask(ctx context.Context, as kube.User, s index.Selection, verb string) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	g.asked.Add(1)
	review := authzv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
		Spec: authzv1.SubjectAccessReviewSpec{
			User: as.Name, Groups: as.AllGroups(), Extra: extras(as),
			ResourceAttributes: attributes(s, verb),
		},
	}
	body, err := json.Marshal(review)
	if err != nil {
		return "", err
	}
	review = authzv1.SubjectAccessReview{}
	err = g.Client.Do(ctx, kube.User{}, kube.Request{
		Method: http.MethodPost, Path: "/apis/authorization.k8s.io/v1/subjectaccessreviews", ContentType: kube.JSON, Body: body,
	}, maxAnswerBytes, &review)
	switch {
	case err != nil:
		// Whatever is wrong is cloudcore's own affair, not the node's.
		return "", fmt.Errorf("SubjectAccessReview: %v", err)
	case review.Status.Allowed && !review.Status.Denied:
		return "", nil
	case review.Status.Reason != "":
		return review.Status.Reason, nil
	}
	return "no role or authorizer allows it", nil
}

func extras(as kube.User) map[string]authzv1.ExtraValue {
	if len(as.Extra) == 0 {
		return nil
	}
	out := make(map[string]authzv1.ExtraValue, len(as.Extra))
	for k, v := range as.Extra {
		out[k] = authzv1.ExtraValue{v}
	}
	return out
}

// ready returns an error while the API server is starting: then it may not have
// read all roles.
func (g *Grants) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := g.Client.Do(ctx, kube.User{}, kube.Request{Method: http.MethodGet, Path: "/readyz", Accept: "*/*"},
		maxAnswerBytes, nil)
	if err != nil {
		return fmt.Errorf("GET /readyz: %v", err)
	}
	return nil
}

// remembers tells whether a question was allowed not longer than TTL ago.
func (g *Grants) remembers(question string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turn(now)
	_, fresh := g.fresh[question]
	_, older := g.older[question]
	return fresh || older
}

func (g *Grants) remember(question string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turn(now)
	g.fresh[question] = struct{}{}
}

// turn drops what is older than two halves of TTL, and more than there is room
// for.
func (g *Grants) turn(now time.Time) {
	age := now.Sub(g.freshSince)
	if age < g.TTL/2 && len(g.fresh) < maxRemembered {
		return
	}
	g.older, g.fresh, g.freshSince = g.fresh, map[string]struct{}{}, now
	if age >= g.TTL {
		g.older = nil
	}
}

// Stats returns how often the API server was asked, and how many interests it
// has refused.
func (g *Grants) Stats() (asked, refused int64) { return g.asked.Load(), g.refused.Load() }
