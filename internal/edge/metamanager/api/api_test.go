package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/eventually"
)

// silent is a cloud that is cut, or answers in one way.
type silent struct {
	linked atomic.Bool
	do     func(edgev1.Call) (edgev1.Reply, error)
}

func (s *silent) Linked() bool { return s.linked.Load() }
func (s *silent) Want(context.Context, edgev1.Interest) error {
	return errors.New("no")
}
func (s *silent) Do(_ context.Context, c edgev1.Call) (edgev1.Reply, error) { return s.do(c) }

var podsOfNode = edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + node}

const podsQuery = "/api/v1/pods?fieldSelector=spec.nodeName%3D" + node

// filled is an edge node with one Pod, cut.
func filled(t *testing.T) *edge {
	t.Helper()
	e := newEdge(t, &silent{})
	if err := e.store.SetBlob(t.Context(), "/api/v1", "application/json", store.Blob{Body: []byte(`{"resources":[{"name":"pods","kind":"Pod"}]}`)}); err != nil {
		t.Fatal(err)
	}
	if err := e.store.Add(podsOfNode); err != nil {
		t.Fatal(err)
	}
	e.put(t, "a", "7")
	e.store.Complete(podsOfNode, "7")
	return e
}

func (e *edge) put(t *testing.T, name, version string) {
	t.Helper()
	if err := e.store.Put(podsOfNode, version, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"n","uid":%q},"spec":{"nodeName":%q,"serviceAccountName":"sa"}}`, name, name, node)); err != nil {
		t.Fatal(err)
	}
}

// ask makes a request with the kubelet's certificate.
func (e *edge) ask(t *testing.T, method, path, accept, body string) (*http.Response, string) {
	t.Helper()
	client, err := rest.HTTPClientFor(e.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, e.config.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.StatusCode; (code == 429 || code == 503) && resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s %.100s: %d without Retry-After", method, path, code)
	}
	return resp, string(data)
}

func TestRules(t *testing.T) {
	e := filled(t)
	old := e.store.RV()
	rv := func(n uint64) string { return fmt.Sprint("&resourceVersion=", n) }
	long := strings.Repeat("x", 9000)
	for _, c := range []struct {
		method, path, accept, body string
		code                       int
		says                       string
	}{
		{"GET", podsQuery, "", "", 200, `"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":`},
		{"GET", podsQuery, "application/vnd.kubernetes.protobuf,application/json", "", 200, `"name":"a"`},
		{"GET", podsQuery, "application/vnd.kubernetes.protobuf", "", 406, "NotAcceptable"},
		{"GET", podsQuery, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "", 200, "PodList"},
		{"GET", podsQuery, "application/json;as=Table;v=v1;g=meta.k8s.io", "", 406, ""},
		{"GET", podsQuery + "&limit=500&resourceVersion=0", "", "", 200, ""},
		{"GET", podsQuery + rv(old), "", "", 200, ""},
		{"GET", podsQuery + rv(1), "", "", 200, ""}, // not older than
		{"GET", podsQuery + rv(1) + "&resourceVersionMatch=Exact", "", "", 410, "Expired"},
		{"GET", podsQuery + rv(old+1000), "", "", 504, "ResourceVersionTooLarge"},
		{"GET", podsQuery + "&resourceVersion=x", "", "", 400, "resourceVersion"},
		{"GET", podsQuery + "&continue=abc", "", "", 410, "Expired"},
		{"GET", podsQuery + "&watch=1&sendInitialEvents=true", "", "", 400, "NotOlderThan"},
		{"GET", podsQuery + "&watch=1&resourceVersionMatch=NotOlderThan", "", "", 400, "forbidden"},
		{"GET", podsQuery + "&watch=1&timeoutSeconds=x", "", "", 400, "timeoutSeconds"},
		{"GET", podsQuery + "&watch=1&timeoutSeconds=1" + rv(old+1000), "", "", 504, "ResourceVersionTooLarge"},
		{"GET", podsQuery + "&watch=1&timeoutSeconds=1" + rv(1), "", "", 200, `"type":"ERROR","object":{"kind":"Status"`},
		{"GET", podsQuery + "&watch=1", "application/vnd.kubernetes.protobuf;stream=watch", "", 406, ""},
		{"GET", "/api/v1/pods", "", "", 503, "never synced"},
		{"GET", "/api/v1/namespaces/n/" + podsQuery[len("/api/v1/"):], "", "", 200, `"name":"a"`},
		{"GET", "/api/v1/namespaces/other/" + podsQuery[len("/api/v1/"):], "", "", 200, `"items":[]`},
		{"GET", podsQuery + "&labelSelector=a%3Db", "", "", 200, `"items":[]`},
		{"GET", podsQuery + "&labelSelector=a%3Db&watch=1&timeoutSeconds=1", "", "", 200, ""},
		{"GET", "/api/v1/pods?watch=1", "", "", 503, "never synced"},
		{"GET", "/api/v1/pods?labelSelector=a+in", "", "", 400, "label selector"},
		{"GET", "/api/v1/pods?fieldSelector=" + long, "", "", 400, "at most"},
		{"GET", "/api/v1/namespaces/n/pods/a", "", "", 200, `"uid":"a"`},
		{"GET", "/api/v1/namespaces/n/pods/b", "", "", 503, ""},
		{"GET", "/api/v1/namespaces/n/pods/a/log", "text/plain", "", 501, "streams"},
		{"GET", "/api", "", "", 503, ""},
		{"GET", "/healthz", "", "", 200, "ok"},
		{"GET", "/", "", "", 404, "NotFound"},
		{"GET", "/api/v1/../../x", "", "", 404, ""},
		{"POST", "/api", "", "{}", 405, ""},
		{"POST", "/api/v1/namespaces/n/pods", "", "{}", 503, "cut"},
		{"POST", "/api/v1/namespaces/n/pods", "application/vnd.kubernetes.protobuf", "{}", 406, "application/json"},
		{"POST", "/api/v1/namespaces/n/events", "", "{}", 503, "with a name"},
		{"POST", "/api/v1/namespaces/n/events", "", `{"metadata":{"name":"e"}}`, 201, ""},
		{"POST", "/api/v1/namespaces/n/pods", "", strings.Repeat("x", maxBodyBytes+1), 413, ""},
		{"PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + node, "", "{}", 400, ""},
		{"PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/other", "", "{}", 503, ""},
		{"DELETE", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + node, "", "", 405, ""},
	} {
		resp, body := e.ask(t, c.method, c.path, c.accept, c.body)
		if resp.StatusCode != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s %.100s with Accept %q: %d, want %d with %q\n%.300s", c.method, c.path, c.accept, resp.StatusCode, c.code, c.says, body)
		}
	}
}

func TestUnauthorized(t *testing.T) {
	e := filled(t)
	other, key, err := e.ca.Client("system:node:other", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	mine := *e.config
	for name, config := range map[string]rest.TLSClientConfig{
		"without a certificate": {CAData: mine.CAData},
		"another node's":        {CAData: mine.CAData, CertData: other, KeyData: key},
	} {
		e.config = &rest.Config{Host: mine.Host, TLSClientConfig: config, BearerToken: "x"}
		for _, path := range []string{podsQuery, podsQuery + "&watch=1", "/healthz", "/api"} {
			if resp, body := e.ask(t, "GET", path, "", ""); resp.StatusCode != 401 || !strings.Contains(body, "Unauthorized") {
				t.Errorf("%s: GET %s: %d %s", name, path, resp.StatusCode, body)
			}
		}
	}
}

// A watch of the kind that reflectors open: what there is, the bookmark that says
// so, then what changes; and it can be gone on with.
func TestWatchList(t *testing.T) {
	e := filled(t)
	client, err := rest.HTTPClientFor(e.config)
	if err != nil {
		t.Fatal(err)
	}
	open := func(query string) (next func() (kind, name, rv string, marked bool), stop func()) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.config.Host+podsQuery+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		return func() (string, string, string, bool) {
			t.Helper()
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return err.Error(), "", "", false
			}
			var ev struct {
				Type   string
				Object struct{ Metadata metav1.ObjectMeta }
			}
			if err := json.Unmarshal(line, &ev); err != nil {
				t.Fatal(err)
			}
			m := ev.Object.Metadata
			return ev.Type, m.Name, m.ResourceVersion, m.Annotations[metav1.InitialEventsAnnotationKey] == "true"
		}, func() { resp.Body.Close() }
	}
	next, stop := open("&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
	if kind, name, _, _ := next(); kind != "ADDED" || name != "a" {
		t.Errorf("%s %s", kind, name)
	}
	kind, _, rv, marked := next()
	if kind != "BOOKMARK" || !marked || rv != fmt.Sprint(e.store.RV()) {
		t.Errorf("%s %s %v", kind, rv, marked)
	}
	e.put(t, "b", "8")
	if kind, name, _, _ := next(); kind != "ADDED" || name != "b" {
		t.Errorf("%s %s", kind, name)
	}
	e.store.Gone(podsOfNode, edgev1.Item{Namespace: "n", Name: "a", UID: "a"})
	kind, name, last, _ := next()
	if kind != "DELETED" || name != "a" || last != fmt.Sprint(e.store.RV()) {
		t.Errorf("%s %s %s", kind, name, last)
	}
	stop()
	next, stop = open("&watch=1&resourceVersion=" + rv)
	for _, want := range []string{"ADDED b", "DELETED a"} {
		if kind, name, _, _ := next(); kind+" "+name != want {
			t.Errorf("%s %s, want %s", kind, name, want)
		}
	}
	stop()
	// What is no longer followed ends the watch.
	next, stop = open("&watch=1&resourceVersion=" + last)
	defer stop()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if n := e.store.Stats().Watches; n != 1 {
			return fmt.Errorf("%d watches", n)
		}
		return nil
	})
	e.store.Drop(podsOfNode)
	if kind, _, _, _ := next(); kind != "ERROR" {
		t.Error(kind)
	}
	if kind, _, _, _ := next(); kind != io.EOF.Error() {
		t.Error(kind)
	}
}

// There are only so many watches.
func TestTooManyWatches(t *testing.T) {
	e := filled(t)
	for range maxWatches {
		e.server.watches.enter(User{})
	}
	if resp, _ := e.ask(t, "GET", podsQuery+"&watch=1", "", ""); resp.StatusCode != 429 {
		t.Errorf("%d", resp.StatusCode)
	}
	if resp, _ := e.ask(t, "GET", podsQuery, "", ""); resp.StatusCode != 200 {
		t.Errorf("a list: %d", resp.StatusCode)
	}
}

func TestLinkFails(t *testing.T) {
	e := filled(t)
	cloud := &silent{do: func(edgev1.Call) (edgev1.Reply, error) { return edgev1.Reply{}, errors.New("broken") }}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	if resp, body := e.ask(t, "POST", "/api/v1/namespaces/n/pods", "", "{}"); resp.StatusCode != 503 || !strings.Contains(body, "broken") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	cloud.do = func(edgev1.Call) (edgev1.Reply, error) { return edgev1.Reply{Status: 7}, nil }
	if resp, _ := e.ask(t, "POST", "/api/v1/namespaces/n/pods", "", "{}"); resp.StatusCode != 503 {
		t.Errorf("%d", resp.StatusCode)
	}
	cloud.do = func(edgev1.Call) (edgev1.Reply, error) {
		return edgev1.Reply{Status: 429, RetryAfter: 1500 * time.Millisecond, Warnings: []string{"old"}, Body: []byte("{}")}, nil
	}
	if resp, _ := e.ask(t, "POST", "/api/v1/namespaces/n/pods", "", "{}"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "2" || !strings.Contains(resp.Header.Get("Warning"), "old") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestParsePath(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/pods":                               "/v1/pods  ",
		"/api/v1/namespaces":                         "/v1/namespaces  ",
		"/api/v1/namespaces/x":                       "/v1/namespaces  x",
		"/api/v1/namespaces/x/status":                "/v1/namespaces  x status",
		"/api/v1/namespaces/x/pods":                  "/v1/pods x ",
		"/api/v1/namespaces/x/pods/y":                "/v1/pods x y",
		"/api/v1/namespaces/x/pods/y/status":         "/v1/pods x y status",
		"/api/v1/nodes/n/proxy/a/b":                  "/v1/nodes  n proxy/a/b",
		"/apis/apps/v1/deployments":                  "apps/v1/deployments  ",
		"/apis/akri.sh/v0/namespaces/x/instances/y":  "akri.sh/v0/instances x y",
		"/apis/example.org/v1/namespaces/x/status/y": "example.org/v1/status x y",
		"/api/v1":                   "none",
		"/apis/apps/v1":             "none",
		"/":                         "none",
		"":                          "none",
		"/api/v1/pods/":             "none",
		"/api/v1//pods":             "none",
		"/api/v1/namespaces/../x/y": "none",
		"/other/v1/pods":            "none",
		"/api/v1/pods/" + strings.Repeat("x", 400): "none",
	} {
		got, ok := parsePath(path)
		text := strings.TrimSuffix(fmt.Sprintf("%s %s %s %s", got.resource, got.namespace, got.name, got.subresource), " ")
		if !ok {
			text = "none"
		}
		if text != want {
			t.Errorf("%.60s is %q, want %q", path, text, want)
		}
	}
}

// What a path was read as leads to the same again, and never out of the API.
func FuzzParsePath(f *testing.F) {
	for _, p := range []string{"/api/v1/namespaces/x/pods/y/log", "/apis/a/b/c/d/e", "/api/v1/namespaces/x/status", "/api/v1/..", "/version"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		_ = isDiscovery(path)
		target, ok := parsePath(path)
		if !ok {
			return
		}
		if target.resource.Name == "" || target.resource.Version == "" || target.name == "" && target.subresource != "" {
			t.Fatalf("%q is %+v", path, target)
		}
		if target.subresource != "" {
			return // path is that of the object
		}
		out := target.path()
		u, err := url.Parse(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", path, out, err)
		}
		if again, ok := parsePath(u.Path); !ok || again != target {
			t.Fatalf("%q became %q: %+v, not %+v", path, out, again, target)
		}
	})
}
