package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

const tokenPath = "/api/v1/namespaces/n/serviceaccounts/sa/token"

func tokenRequest(name, uid string, audiences ...string) string {
	return fmt.Sprintf(`{"spec":{"expirationSeconds":3607,"audiences":["%s"],"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":%q,"uid":%q}}}`,
		strings.Join(audiences, `","`), name, uid)
}

// While cut the kubelet gets tokens for its Pods, and they are good here.
func TestMint(t *testing.T) {
	e := filled(t)
	e.knows(t, newIssuer(t))
	for name, c := range map[string]struct {
		path, body string
		code       int
	}{
		"for another Pod":       {tokenPath, tokenRequest("b", "b"), 403},
		"with another UID":      {tokenPath, tokenRequest("a", "b"), 403},
		"without a UID":         {tokenPath, tokenRequest("a", ""), 503},
		"bound to nothing":      {tokenPath, `{}`, 503},
		"bound to a Secret":     {tokenPath, strings.Replace(tokenRequest("a", "a"), "Pod", "Secret", 1), 503},
		"of another account":    {strings.Replace(tokenPath, "sa/", "admin/", 1), tokenRequest("a", "a"), 403},
		"of another namespace":  {strings.Replace(tokenPath, "/n/", "/kube-system/", 1), tokenRequest("a", "a"), 403},
		"no TokenRequest":       {tokenPath, `x`, 400},
		"for a Pod of this one": {tokenPath, tokenRequest("a", "a"), 201},
	} {
		if resp, body := e.ask(t, "POST", c.path, "", c.body); resp.StatusCode != c.code {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, c.code)
		}
	}
	mint := func(body string) (authenticationv1.TokenRequest, tokens.Token) {
		t.Helper()
		var made authenticationv1.TokenRequest
		resp, text := e.ask(t, "POST", tokenPath, "", body)
		if err := json.Unmarshal([]byte(text), &made); err != nil || resp.StatusCode != 201 {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		token, err := tokens.Parse(made.Status.Token)
		if err != nil {
			t.Fatal(err)
		}
		return made, token
	}
	made, token := mint(strings.Replace(tokenRequest("a", "a"), `"audiences":[""],`, "", 1))
	if made.Kind != "TokenRequest" || made.APIVersion != "authentication.k8s.io/v1" || made.Name != "sa" || made.Namespace != "n" ||
		*made.Spec.ExpirationSeconds != 600 || made.Status.ExpirationTimestamp.Unix() != token.Claims.Expiry ||
		time.Until(made.Status.ExpirationTimestamp.Time) > tokens.Life || len(made.Spec.Audiences) != 1 || made.Spec.Audiences[0] != clusterIssuer {
		t.Errorf("%+v", made)
	}
	k := token.Claims.Kubernetes
	if token.Claims.Subject != "system:serviceaccount:n:sa" || *k.Pod != (tokens.Ref{Name: "a", UID: "a"}) || k.Node.Name != node || token.Claims.Issuer != tokens.Issuer {
		t.Errorf("%+v", token.Claims)
	}
	p := e.with(made.Status.Token)
	if resp, _ := p.ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Errorf("the token is not taken: %d\n%s", resp.StatusCode, e.log)
	}
	if resp, body := p.ask(t, "POST", tokenPath, "", tokenRequest("a", "a")); resp.StatusCode != 503 {
		t.Errorf("a Pod gets a token: %d %s", resp.StatusCode, body)
	}
	if made, _ := mint(tokenRequest("a", "a", "vault")); made.Spec.Audiences[0] != "vault" {
		t.Errorf("%+v", made.Spec)
	} else if resp, _ := e.with(made.Status.Token).ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 401 {
		t.Errorf("a token for somebody else is taken: %d", resp.StatusCode)
	}
	// The link is there, the API server is not.
	cloud := &silent{do: func(edgev1.Call) (edgev1.Reply, error) { return edgev1.Reply{Status: 502}, nil }}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	if _, token := mint(tokenRequest("a", "a")); token.Claims.Issuer != tokens.Issuer {
		t.Errorf("%+v", token.Claims)
	}
	cloud.do = func(edgev1.Call) (edgev1.Reply, error) { return edgev1.Reply{}, errors.New("broken") }
	if _, token := mint(tokenRequest("a", "a")); token.Claims.Issuer != tokens.Issuer {
		t.Errorf("%+v", token.Claims)
	}
	cloud.do = func(edgev1.Call) (edgev1.Reply, error) { return edgev1.Reply{Status: 404, Body: []byte(`{}`)}, nil }
	if resp, body := e.ask(t, "POST", tokenPath, "", tokenRequest("a", "a")); resp.StatusCode != 404 {
		t.Errorf("what the API server refuses is made here: %d %s", resp.StatusCode, body)
	}
}

// The cluster's answer to a TokenRequest tells for whom tokens are, and its key is
// here before the token is used.
func TestLearn(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	token := signed(t, cluster, func(c *tokens.Claims) { c.Audiences = tokens.Audiences{"api"} })
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		switch c.Path {
		case configurationPath:
			return edgev1.Reply{Status: 200, Body: discovered}, nil
		case keysPath:
			return edgev1.Reply{Status: 200, Body: published(t, cluster)}, nil
		}
		return edgev1.Reply{Status: 201, Body: fmt.Appendf(nil, `{"spec":{"audiences":["api"]},"status":{"token":%q}}`, token)}, nil
	}}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	body := strings.Replace(tokenRequest("a", "a"), `"audiences":[""],`, "", 1)
	if resp, text := e.ask(t, "POST", tokenPath, "", body); resp.StatusCode != 201 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	e.stop()
	e.start(&silent{}) // cut
	if resp, _ := e.with(token).ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Errorf("%d\n%s", resp.StatusCode, e.log)
	}
	var made authenticationv1.TokenRequest
	_, text := e.ask(t, "POST", tokenPath, "", body)
	if err := json.Unmarshal([]byte(text), &made); err != nil || len(made.Spec.Audiences) != 1 || made.Spec.Audiences[0] != "api" {
		t.Errorf("%s, %v", text, err)
	}
}

func TestReviews(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	const tokenReview, accessReview = "/apis/authentication.k8s.io/v1/tokenreviews", "/apis/authorization.k8s.io/v1/subjectaccessreviews"
	review := func(token string) (got authenticationv1.TokenReview) {
		t.Helper()
		resp, body := e.ask(t, "POST", tokenReview, "", fmt.Sprintf(`{"spec":{"token":%q}}`, token))
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 201 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return got
	}
	mine := signed(t, e.signer, func(c *tokens.Claims) { c.Issuer = tokens.Issuer })
	theirs := signed(t, cluster, nil)
	for _, token := range []string{mine, theirs} {
		if r := review(token); !r.Status.Authenticated || r.Status.User.Username != "system:serviceaccount:n:sa" || r.Status.User.Extra["authentication.kubernetes.io/pod-uid"][0] != "a" || len(r.Status.Audiences) != 1 {
			t.Errorf("cut: %+v", r.Status)
		}
	}
	if r := review("x"); r.Status.Authenticated || r.Status.Error == "" || r.Status.User.Username != "" {
		t.Errorf("cut: %+v", r.Status)
	}
	ask := func(verb string) string {
		t.Helper()
		resp, body := e.ask(t, "POST", accessReview, "", fmt.Sprintf(`{"spec":{"user":"u","nonResourceAttributes":{"path":"/metrics","verb":%q}}}`, verb))
		if resp.StatusCode != 201 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return body
	}
	if body := ask("get"); !strings.Contains(body, `"allowed":false`) || !strings.Contains(body, "cut") {
		t.Errorf("what was never asked: %s", body)
	}
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		if strings.Contains(string(c.Body), mine) || strings.Contains(string(c.Body), theirs) {
			t.Error("a Pod's token leaves the node")
		}
		return edgev1.Reply{Status: 201, Body: []byte(`{"status":{"allowed":true,"authenticated":true,"user":{"username":"the cluster's"}}}`)}, nil
	}}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	if r := review("x"); r.Status.User.Username != "the cluster's" {
		t.Errorf("linked: %+v", r.Status)
	}
	for _, token := range []string{mine, theirs} {
		if r := review(token); r.Status.User.Username != "system:serviceaccount:n:sa" {
			t.Errorf("linked: %+v", r.Status)
		}
	}
	ask("get")
	cloud.linked.Store(false)
	if body := ask("get"); !strings.Contains(body, `"allowed":true`) {
		t.Errorf("what was asked before: %s", body)
	}
	if body := ask("post"); !strings.Contains(body, `"allowed":false`) {
		t.Errorf("something else: %s", body)
	}
	// Of Pods nothing is answered here.
	p := e.with(mine)
	for _, path := range []string{tokenReview, accessReview} {
		if resp, _ := p.ask(t, "POST", path, "", `{"spec":{}}`); resp.StatusCode != 503 {
			t.Errorf("a Pod's %s: %d", path, resp.StatusCode)
		}
	}
}

func TestReviewsAreFew(t *testing.T) {
	var v reviews
	spec := func(i int) authorizationv1.SubjectAccessReviewSpec {
		return authorizationv1.SubjectAccessReviewSpec{User: fmt.Sprint(i)}
	}
	for i := range maxReviews + 10 {
		v.set(spec(i), authorizationv1.SubjectAccessReviewStatus{Allowed: true})
	}
	if n := len(v.answers); n != maxReviews || len(v.order) != n {
		t.Errorf("%d answers", n)
	}
	if _, ok := v.get(spec(0)); ok {
		t.Error("the oldest is still there")
	}
	v.set(spec(20), authorizationv1.SubjectAccessReviewStatus{})
	if got, ok := v.get(spec(20)); ok {
		t.Errorf("no longer allowed: %+v", got)
	}
	// Whoever is denied everything takes no place.
	for i := range 2 * maxReviews {
		v.set(spec(1000+i), authorizationv1.SubjectAccessReviewStatus{Denied: i%2 == 0})
	}
	v.set(authorizationv1.SubjectAccessReviewSpec{User: strings.Repeat("u", maxQuestionBytes)}, authorizationv1.SubjectAccessReviewStatus{Allowed: true})
	if n := len(v.answers); n != maxReviews-1 || len(v.order) != n {
		t.Errorf("%d answers, %d in order", n, len(v.order))
	}
	for i := 10; i < maxReviews+10; i++ {
		if got, ok := v.get(spec(i)); i != 20 && (!ok || !got.Allowed) {
			t.Fatalf("the answer to %d is gone: %+v, %v", i, got, ok)
		}
	}
}
