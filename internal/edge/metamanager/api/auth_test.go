package api

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

const clusterIssuer = "https://kubernetes.default.svc"

// newIssuer is a cluster's issuer of tokens.
func newIssuer(t *testing.T) *tokens.Signer {
	t.Helper()
	s, err := tokens.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// published are the keys of issuers as the API server publishes them.
func published(t *testing.T, of ...*tokens.Signer) []byte {
	t.Helper()
	var all []map[string]string
	for _, s := range of {
		for id, key := range s.Keys() {
			point, err := key.(*ecdsa.PublicKey).Bytes()
			if err != nil {
				t.Fatal(err)
			}
			encode := base64.RawURLEncoding.EncodeToString
			all = append(all, map[string]string{"kty": "EC", "crv": "P-256", "kid": id, "x": encode(point[1:33]), "y": encode(point[33:])})
		}
	}
	set, err := json.Marshal(map[string]any{"keys": all})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

var discovered = fmt.Appendf(nil, `{"issuer":%q}`, clusterIssuer)

// knows has the issuer's keys in the store, as when they were asked for before.
func (e *edge) knows(t *testing.T, issuer *tokens.Signer) {
	t.Helper()
	for path, body := range map[string][]byte{configurationPath: discovered, keysPath: published(t, issuer)} {
		if err := e.store.SetBlob(t.Context(), path, blobAccept(path, ""), store.Blob{Fetched: time.Now(), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
}

// claimsOf are those of a token for Pod a.
func claimsOf() tokens.Claims {
	return tokens.Claims{
		Issuer: clusterIssuer, Audiences: tokens.Audiences{clusterIssuer}, Subject: tokens.Subject("n", "sa"),
		Expiry: time.Now().Unix() + 600,
		Kubernetes: tokens.Kubernetes{Namespace: "n", ServiceAccount: tokens.Ref{Name: "sa", UID: "1"},
			Pod: &tokens.Ref{Name: "a", UID: "a"}, Node: &tokens.Ref{Name: node, UID: "2"}},
	}
}

func signed(t *testing.T, s *tokens.Signer, change func(*tokens.Claims)) string {
	t.Helper()
	c := claimsOf()
	if change != nil {
		change(&c)
	}
	text, err := s.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// with returns the edge node with a client that has a token alone.
func (e *edge) with(token string) *edge {
	other := *e
	other.config = &rest.Config{Host: e.config.Host, TLSClientConfig: rest.TLSClientConfig{CAData: e.config.CAData}, BearerToken: token}
	return &other
}

// Only a token of a Pod that is here and runs is taken, whoever has signed it.
func TestPodsToken(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	e.put(t, "ended", "8")
	if _, err := e.store.Overlay(store.Key{Resource: podsResource, Namespace: "n", Name: "ended"}, func(o *store.Object) ([]byte, error) {
		return []byte(strings.Replace(string(o.JSON), `"spec"`, `"status":{"phase":"Failed"},"spec"`, 1)), nil
	}); err != nil {
		t.Fatal(err)
	}
	// What only a Pod has read of another Pod does not count: it may be old.
	read := edgev1.Interest{Version: "v1", Resource: "pods", Namespace: "n", FieldSelector: "metadata.name=read", Get: true, As: edgev1.As{ServiceAccount: "n/sa"}}
	if err := e.store.Add(read); err != nil {
		t.Fatal(err)
	}
	if err := e.store.Put(read, "9", fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"read","namespace":"n","uid":"read"},"spec":{"nodeName":%q,"serviceAccountName":"sa"}}`, node)); err != nil {
		t.Fatal(err)
	}
	e.store.Complete(read, "9")
	pod := func(name, uid string) func(*tokens.Claims) {
		return func(c *tokens.Claims) { c.Kubernetes.Pod = &tokens.Ref{Name: name, UID: uid} }
	}
	mine := func(c *tokens.Claims) { c.Issuer, c.Audiences = tokens.Issuer, tokens.Audiences{clusterIssuer} }
	for name, c := range map[string]struct {
		token string
		says  string // in the log; "": it is taken
	}{
		"the cluster's":                  {signed(t, cluster, nil), ""},
		"edgecore's own":                 {signed(t, e.signer, mine), ""},
		"a stranger's":                   {signed(t, newIssuer(t), nil), "not known"},
		"edgecore's for the cluster":     {signed(t, e.signer, nil), "its issuer"},
		"the cluster's for edgecore":     {signed(t, cluster, mine), "its issuer"},
		"for somebody else":              {signed(t, cluster, func(c *tokens.Claims) { c.Audiences = tokens.Audiences{"vault"} }), "vault"},
		"expired":                        {signed(t, cluster, func(c *tokens.Claims) { c.Expiry = time.Now().Unix() - 3600 }), "expired"},
		"expired, edgecore's own":        {signed(t, e.signer, func(c *tokens.Claims) { mine(c); c.Expiry = time.Now().Unix() - 3600 }), "expired"},
		"of a Pod that is not here":      {signed(t, cluster, pod("b", "b")), "not on this node"},
		"of the Pod before of that name": {signed(t, cluster, pod("a", "older")), "not on this node"},
		"of a Pod without a UID":         {signed(t, cluster, pod("a", "")), "not on this node"},
		"of a Pod that has ended":        {signed(t, cluster, pod("ended", "ended")), "has ended"},
		"of a Pod that a Pod has read":   {signed(t, cluster, pod("read", "read")), "not on this node"},
		"of another node":                {signed(t, cluster, func(c *tokens.Claims) { c.Kubernetes.Node.Name = "other" }), "other"},
		"of another account": {signed(t, cluster, func(c *tokens.Claims) {
			c.Subject, c.Kubernetes.ServiceAccount.Name = tokens.Subject("n", "admin"), "admin"
		}), "another service account"},
		"with another subject": {signed(t, cluster, func(c *tokens.Claims) { c.Subject = tokens.Subject("kube-system", "admin") }), "subject"},
		"of another namespace": {signed(t, cluster, func(c *tokens.Claims) { c.Kubernetes.Namespace = "kube-system" }), "not on this node"},
		"bound to no Pod":      {signed(t, cluster, func(c *tokens.Claims) { c.Kubernetes.Pod = nil }), "not bound to a Pod"},
		"no token":             {"x", "not a token"},
	} {
		resp, body := e.with(c.token).ask(t, "GET", "/healthz", "", "")
		if c.says == "" && resp.StatusCode != 200 || c.says != "" && resp.StatusCode != 401 {
			t.Errorf("%s: %d %s\n%s", name, resp.StatusCode, body, e.log)
		}
		if c.says != "" && (!strings.Contains(body, `"message":"Unauthorized"`) || strings.Contains(body, c.says)) {
			t.Errorf("%s: the client is told %s", name, body)
		}
		if _, err := e.server.verify(t.Context(), c.token, nil); c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if log := e.log.String(); !strings.Contains(log, "a client of the local API is not known") || strings.Contains(log, "eyJ") {
		t.Errorf("the log:\n%s", log)
	}
	long := signed(t, cluster, func(c *tokens.Claims) { c.Kubernetes.Pod.Name = strings.Repeat("x", 4000) })
	if e.with(long).ask(t, "GET", "/healthz", "", ""); strings.Contains(e.log.String(), strings.Repeat("x", maxLogged+1)) {
		t.Error("a long text is logged")
	}
	// A certificate comes before a token.
	e.config.BearerToken = "x"
	if resp, _ := e.ask(t, "GET", podsQuery, "", ""); resp.StatusCode != 200 {
		t.Errorf("with a certificate: %d", resp.StatusCode)
	}
}

// The Pod that ends takes its tokens with it, at once.
func TestTokenEndsWithItsPod(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	p := e.with(signed(t, cluster, nil))
	if resp, _ := p.ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Fatalf("%d\n%s", resp.StatusCode, e.log)
	}
	e.store.Gone(podsOfNode, edgev1.Item{Namespace: "n", Name: "a", UID: "a"})
	if resp, _ := p.ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 401 {
		t.Errorf("its Pod is gone: %d", resp.StatusCode)
	}
}

// What one user has been granted no other one sees, whether the link is cut or
// not.
func TestPodsSeeTheirOwn(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	if err := e.store.SetBlob(t.Context(), "/api/v1", "application/json", store.Blob{Body: []byte(`{"resources":[{"name":"pods","kind":"Pod"},{"name":"secrets","kind":"Secret"},{"name":"configmaps","kind":"ConfigMap"}]}`)}); err != nil {
		t.Fatal(err)
	}
	follow := func(as edgev1.As, resource, kind, selector string, get bool, names ...string) {
		t.Helper()
		what := edgev1.Interest{Version: "v1", Resource: resource, Namespace: "n", FieldSelector: selector, As: as, Get: get}
		if err := e.store.Add(what); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := e.store.Put(what, "1", fmt.Appendf(nil, `{"apiVersion":"v1","kind":%q,"metadata":{"name":%q,"namespace":"n","uid":%q}}`, kind, name, name)); err != nil {
				t.Fatal(err)
			}
		}
		e.store.Complete(what, "1")
	}
	// The kubelet has a Secret, and so has another account; this one's own things
	// are ConfigMaps.
	follow(edgev1.As{}, "secrets", "Secret", "metadata.name=kubelets", false, "kubelets")
	follow(edgev1.As{ServiceAccount: "n/other"}, "secrets", "Secret", "", false, "kubelets", "others")
	follow(edgev1.As{Component: "kube-proxy"}, "secrets", "Secret", "", false, "kubelets", "proxys")
	follow(edgev1.As{ServiceAccount: "n/sa"}, "configmaps", "ConfigMap", "", false, "mine")
	follow(edgev1.As{ServiceAccount: "n/other"}, "configmaps", "ConfigMap", "", false, "mine", "others")
	p := e.with(signed(t, cluster, nil))
	refusing := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		if c.As.ServiceAccount != "n/sa" {
			t.Errorf("%s %s is asked for in the name of %+v", c.Method, c.Path, c.As)
		}
		return edgev1.Reply{Status: 403, Body: []byte(`{"kind":"Status","code":403,"reason":"Forbidden"}`)}, nil
	}}
	for _, linked := range []bool{false, true} {
		e.server.Cloud = refusing
		refusing.linked.Store(linked)
		for _, path := range []string{
			"/api/v1/namespaces/n/secrets/kubelets", "/api/v1/namespaces/n/secrets/others", "/api/v1/namespaces/n/secrets/proxys",
			"/api/v1/namespaces/n/secrets", "/api/v1/secrets", "/api/v1/namespaces/n/secrets?fieldSelector=metadata.name%3Dkubelets",
			"/api/v1/namespaces/n/secrets?watch=1&timeoutSeconds=1", "/api/v1/namespaces/n/secrets/kubelets?watch=1&timeoutSeconds=1",
			"/api/v1/namespaces/n/secrets?resourceVersion=0&fieldSelector=metadata.name%3Dkubelets&watch=1&timeoutSeconds=1",
			podsQuery, "/api/v1/namespaces/n/pods/a", "/api/v1/namespaces/n/configmaps/others?resourceVersion=0",
			"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + node,
		} {
			resp, body := p.ask(t, "GET", path, "", "")
			if resp.StatusCode == 200 || strings.Contains(body, `"uid"`) || linked && resp.StatusCode == 404 && !strings.Contains(path, "configmaps") {
				t.Errorf("linked %v: GET %s: %d %s", linked, path, resp.StatusCode, body)
			}
		}
		// Its own it reads.
		for path, has := range map[string]string{
			"/api/v1/namespaces/n/configmaps":                          `"name":"mine"`,
			"/api/v1/namespaces/n/configmaps/mine":                     `"name":"mine"`,
			"/api/v1/namespaces/n/configmaps?watch=1&timeoutSeconds=1": `"name":"mine"`,
		} {
			if resp, body := p.ask(t, "GET", path, "", ""); resp.StatusCode != 200 || !strings.Contains(body, has) || strings.Contains(body, "others") {
				t.Errorf("linked %v: GET %s: %d %s", linked, path, resp.StatusCode, body)
			}
		}
	}
}

// A right that is gone is gone, also when the link is cut next.
func TestRefusedGet(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	reply := edgev1.Reply{Status: 200, Body: []byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"n","uid":"s","resourceVersion":"3"}}`)}
	cloud := &silent{do: func(edgev1.Call) (edgev1.Reply, error) { return reply, nil }}
	e.server.Cloud = cloud
	p := e.with(signed(t, cluster, nil))
	get := func(linked bool, want int) {
		t.Helper()
		cloud.linked.Store(linked)
		if resp, body := p.ask(t, "GET", "/api/v1/namespaces/n/secrets/s", "", ""); resp.StatusCode != want {
			t.Errorf("linked %v: %d %s, want %d", linked, resp.StatusCode, body, want)
		}
	}
	get(true, 200)
	get(false, 200)
	reply = edgev1.Reply{Status: 403, Body: []byte(`{"kind":"Status","code":403,"reason":"Forbidden"}`)}
	get(true, 403)
	get(false, 503)
}

// Nobody becomes somebody else, and no token leaves the node.
func TestNoImpersonation(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	token := signed(t, cluster, nil)
	var calls atomic.Int64
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		calls.Add(1)
		if text := fmt.Sprintf("%+v", c); strings.Contains(text, token) || c.As != (edgev1.As{ServiceAccount: "n/sa", Pod: "a", PodUID: "a"}) {
			t.Errorf("the call %s", text)
		}
		return edgev1.Reply{Status: 201, Body: []byte(`{}`)}, nil
	}}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	p := e.with(token)
	if resp, body := p.ask(t, "POST", "/api/v1/namespaces/n/configmaps", "", `{}`); resp.StatusCode != 201 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	p.config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + node, Groups: []string{"system:masters"}}
	if resp, body := p.ask(t, "POST", "/api/v1/namespaces/n/configmaps", "", `{}`); resp.StatusCode != 403 || !strings.Contains(body, "impersonated") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

// Keys that are not known are asked for, in the name of the account that uses
// them, and not as often as anybody likes.
func TestUnknownKeys(t *testing.T) {
	e := filled(t)
	old, fresh := newIssuer(t), newIssuer(t)
	e.knows(t, old)
	var asked atomic.Int64
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		body := discovered
		if c.Path == keysPath {
			asked.Add(1)
			body = published(t, fresh)
		}
		if c.As != (edgev1.As{ServiceAccount: "n/sa"}) {
			t.Errorf("%s is asked for in the name of %+v", c.Path, c.As)
		}
		return edgev1.Reply{Status: 200, ContentType: "application/json", Body: body}, nil
	}}
	e.server.Cloud = cloud
	get := func(s *tokens.Signer, change func(*tokens.Claims)) int {
		t.Helper()
		resp, _ := e.with(signed(t, s, change)).ask(t, "GET", "/healthz", "", "")
		return resp.StatusCode
	}
	if got := get(fresh, nil); got != 401 || asked.Load() != 0 {
		t.Errorf("cut: %d, asked %d times", got, asked.Load())
	}
	cloud.linked.Store(true)
	if got := get(old, nil); got != 200 || asked.Load() != 0 {
		t.Errorf("a known key: %d, asked %d times", got, asked.Load())
	}
	if got := get(fresh, func(c *tokens.Claims) { c.Kubernetes.Pod.UID = "x" }); got != 401 || asked.Load() != 0 {
		t.Errorf("of no Pod here: %d, asked %d times", got, asked.Load())
	}
	if got := get(fresh, nil); got != 200 || asked.Load() != 1 {
		t.Errorf("a new key: %d, asked %d times", got, asked.Load())
	}
	for range 5 {
		if got := get(newIssuer(t), nil); got != 401 {
			t.Errorf("a stranger's: %d", got)
		}
	}
	if got := get(old, nil); got != 401 || asked.Load() != 1 {
		t.Errorf("the old key: %d, asked %d times", got, asked.Load())
	}
	// Old ones are asked for again, and one that the cluster has no more is forgotten.
	issuer := &e.server.issuer
	age := func() {
		issuer.mu.Lock()
		issuer.fetched, issuer.asked = time.Now().Add(-2*keysAfter), nil
		issuer.mu.Unlock()
	}
	age()
	old, fresh = fresh, newIssuer(t)
	if got := get(old, nil); got != 401 || asked.Load() != 2 {
		t.Errorf("an old key: %d, asked %d times", got, asked.Load())
	}
	// While one request asks, others go on with what is known.
	age()
	issuer.mu.Lock()
	issuer.asking = make(chan struct{})
	issuer.mu.Unlock()
	if got := get(fresh, nil); got != 200 || asked.Load() != 2 {
		t.Errorf("an old key while it is asked for: %d, asked %d times", got, asked.Load())
	}
	issuer.mu.Lock()
	issuer.asking = nil
	issuer.mu.Unlock()
	// They are there after a restart, cut.
	e.stop()
	e.start(&silent{})
	if got := get(fresh, nil); got != 200 {
		t.Errorf("after a restart: %d\n%s", got, e.log)
	}
}

// Whoever invents keys keeps nobody waiting but himself, and not for long.
func TestInventedKeys(t *testing.T) {
	e := filled(t)
	known, fresh := newIssuer(t), newIssuer(t)
	e.knows(t, known)
	at, release := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		body := discovered
		if c.Path == keysPath {
			if body = published(t, known, fresh); asked.Add(1) == 1 {
				body = published(t, known)
				close(at)
				<-release
			}
		}
		return edgev1.Reply{Status: 200, ContentType: "application/json", Body: body}, nil
	}}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	verify := func(ctx context.Context, of *tokens.Signer) error {
		_, err := e.server.verify(ctx, signed(t, of, nil), nil)
		return err
	}
	// Many wait for the first answer.
	waiting := make(chan error, maxKeyWaiting+10)
	invented := newIssuer(t)
	go func() { waiting <- verify(t.Context(), invented) }()
	<-at
	for range cap(waiting) - 1 {
		go func() { waiting <- verify(t.Context(), invented) }()
	}
	// Too many do not wait.
	for range cap(waiting) - 1 - maxKeyWaiting {
		if err := <-waiting; !errors.Is(err, tokens.ErrUnknownKey) {
			t.Errorf("one that is too many: %v", err)
		}
	}
	// Who has a key that is known does not wait, and nobody longer than he wants.
	if err := verify(t.Context(), known); err != nil {
		t.Errorf("a key that is known: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := verify(gone, fresh); !errors.Is(err, tokens.ErrUnknownKey) {
		t.Errorf("who has gone: %v", err)
	}
	close(release)
	for range maxKeyWaiting + 1 {
		if err := <-waiting; !errors.Is(err, tokens.ErrUnknownKey) {
			t.Errorf("an invented key: %v", err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	// The account that is the cause has to wait with a new key, but not what the
	// cluster itself has signed just now.
	if err := verify(t.Context(), fresh); !errors.Is(err, tokens.ErrUnknownKey) || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	made, err := json.Marshal(map[string]any{"status": map[string]any{"token": signed(t, fresh, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	var request authenticationv1.TokenRequest
	e.server.learn(t.Context(), target{namespace: "n", name: "sa"}, request, made)
	if err := verify(t.Context(), fresh); err != nil || asked.Load() != 2 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

func TestMayAsk(t *testing.T) {
	var i issuer
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		cause string
		after time.Duration
		want  bool
	}{
		{"n/a", 0, true},
		{"n/a", time.Second, false},
		{"n/b", time.Second, true},
		{"n/a", keysEvery, true},
		{"n/b", keysEvery, false},
	} {
		if got := i.mayAskLocked(c.cause, now.Add(c.after)); got != c.want {
			t.Errorf("%s after %s: %v", c.cause, c.after, got)
		}
	}
	for n := range 2 * maxAskers {
		i.mayAskLocked(fmt.Sprint(n), now.Add(time.Hour))
	}
	if len(i.asked) != maxAskers {
		t.Errorf("%d are remembered", len(i.asked))
	}
}
