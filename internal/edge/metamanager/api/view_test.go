package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// masked shows ConfigMaps with "secret" as others.
type masked struct{}

func (masked) Show(_ store.Key, object []byte) ([]byte, bool) {
	return bytes.ReplaceAll(object, []byte("secret"), []byte("masked")), bytes.Contains(object, []byte("secret"))
}

// What is seen otherwise is seen so in every answer, and cannot be written here.
func TestView(t *testing.T) {
	cloud := &silent{}
	var called []string
	cloud.do = func(c edgev1.Call) (edgev1.Reply, error) {
		called = append(called, c.Method+" "+c.Path)
		return edgev1.Reply{Status: http.StatusOK, Body: []byte(configMap("x", "3", "secret"))}, nil
	}
	e := newEdge(t, cloud)
	e.server.View = masked{}
	if err := e.store.SetBlob(t.Context(), "/api/v1", "application/json", store.Blob{Body: []byte(`{"resources":[{"name":"configmaps","kind":"ConfigMap"}]}`)}); err != nil {
		t.Fatal(err)
	}
	what := edgev1.Interest{Version: "v1", Resource: "configmaps", Namespace: "n"}
	if err := e.store.Add(what); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"a": "secret", "b": "plain"} {
		if err := e.store.Put(what, "1", []byte(configMap(name, "1", value))); err != nil {
			t.Fatal(err)
		}
	}
	e.store.Complete(what, "1")
	const path = "/api/v1/namespaces/n/configmaps"
	for _, read := range []string{path, path + "/a", path + "?watch=1&timeoutSeconds=1",
		path + "?watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"} {
		resp, body := e.ask(t, http.MethodGet, read, "", "")
		if resp.StatusCode != http.StatusOK || strings.Contains(body, "secret") || !strings.Contains(body, "masked") {
			t.Errorf("GET %s: %s: %s", read, resp.Status, body)
		}
	}
	cloud.linked.Store(true)
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{http.MethodPut, path + "/a", http.StatusForbidden},
		{http.MethodPatch, path + "/a", http.StatusForbidden},
		{http.MethodPut, path + "/b", http.StatusOK},
		{http.MethodPut, path + "/not-read-here", http.StatusOK},
		{http.MethodPost, path, http.StatusOK},
		{http.MethodDelete, path + "/a", http.StatusOK},
	} {
		called = nil
		resp, body := e.ask(t, c.method, c.path, "", configMap("x", "", "masked"))
		if resp.StatusCode != c.code || (len(called) == 0) != (c.code == http.StatusForbidden) {
			t.Errorf("%s %s: %s, calls %q: %s", c.method, c.path, resp.Status, called, body)
		}
		if c.code == http.StatusForbidden && !strings.Contains(body, "the cluster's API server") {
			t.Errorf("%s %s says %s", c.method, c.path, body)
		}
		if c.method == http.MethodPost && strings.Contains(body, "secret") {
			t.Errorf("the answer is not as it is seen: %s", body)
		}
	}
}

func configMap(name, version, value string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"n","uid":%q,"resourceVersion":%q},"data":{"k":%q}}`,
		name, "uid-"+name, version, value)
}
