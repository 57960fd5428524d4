package coreapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// serve answers like an API server that holds the given objects, by path. The
// real one is asked in the end-to-end tests.
func serve(t *testing.T, objects map[string]string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, ok := objects[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
		}
		if r.URL.Path == "/api/v1/pods" && !strings.Contains(r.URL.Query().Get("fieldSelector"), "spec.nodeName=n") {
			w.WriteHeader(http.StatusBadRequest)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	c, err := New(&rest.Config{Host: s.URL}, "n")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRead(t *testing.T) {
	c := serve(t, map[string]string{
		"/api/v1/namespaces/ns/secrets/s":    `{"kind":"Secret","apiVersion":"v1","data":{"k":"aGlkZGVu"}}`,
		"/api/v1/namespaces/ns/configmaps/c": `{"kind":"ConfigMap","apiVersion":"v1","data":{"k":"open"},"binaryData":{"k":"eHg=","b":"AAE="}}`,
		"/api/v1/pods":                       `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[{"metadata":{"uid":"u1"}}]}`,
	})
	ctx := t.Context()
	if data, found, err := c.Secret(ctx, "ns", "s"); err != nil || !found || string(data["k"]) != "hidden" {
		t.Errorf("secret: %s %v %v", data, found, err)
	}
	if _, found, err := c.Secret(ctx, "ns", "none"); err != nil || found {
		t.Errorf("a secret that is not there: %v %v", found, err)
	}
	data, found, err := c.ConfigMap(ctx, "ns", "c")
	if err != nil || !found || string(data["k"]) != "open" || string(data["b"]) != "\x00\x01" {
		t.Errorf("config map: %q %v %v", data, found, err)
	}
	if pods, err := c.Pods(ctx); err != nil || !pods["u1"] || len(pods) != 1 {
		t.Errorf("pods: %v %v", pods, err)
	}
}
