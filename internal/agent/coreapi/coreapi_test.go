package coreapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
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
		"/api/v1/namespaces/ns/secrets/s":     `{"kind":"Secret","apiVersion":"v1","metadata":{"resourceVersion":"7"},"data":{"k":"aGlkZGVu"}}`,
		"/api/v1/namespaces/ns/secrets/empty": `{"kind":"Secret","apiVersion":"v1","metadata":{"resourceVersion":"7"}}`,
		"/api/v1/namespaces/ns/secrets/odd":   `{"kind":"Secret","apiVersion":"v1","data":{"k":"hunter2!"}}`,
		"/api/v1/namespaces/ns/secrets/list":  `{"kind":"Secret","apiVersion":"v1","data":["hunter2!"]}`,
		"/api/v1/namespaces/ns/configmaps/c": `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7"},
			"data":{"k":"open"},"binaryData":{"k":"eHg=","b":"AAE="}}`,
		"/api/v1/namespaces/ns/pods": `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[{"metadata":{"uid":"u1","namespace":"ns","name":"p",
			"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","uid":"u2","controller":true,"blockOwnerDeletion":true}]}}]}`,
		"/api/v1/namespaces/bare/pods":  `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[{"metadata":{"uid":"u1","namespace":"bare","name":"p"}}]}`,
		"/api/v1/namespaces/empty/pods": `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[]}`,
		"/api/v1/pods":                  `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[{"metadata":{"uid":"u1","namespace":"ns","name":"p"}}]}`,
	})
	ctx := t.Context()
	if data, found, err := c.Read(ctx, "Secret", "ns", "s"); err != nil || !found || string(data["k"]) != "hidden" {
		t.Errorf("secret: %s %v %v", data, found, err)
	}
	if data, found, err := c.Read(ctx, "Secret", "ns", "empty"); err != nil || !found || len(data) != 0 {
		t.Errorf("a secret without data: %s %v %v", data, found, err)
	}
	if _, found, err := c.Read(ctx, "Secret", "ns", "none"); err != nil || found {
		t.Errorf("a secret that is not there: %v %v", found, err)
	}
	for _, name := range []string{"odd", "list"} {
		if _, _, err := c.Read(ctx, "Secret", "ns", name); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("an answer that is no secret: %v", err)
		}
	}
	for _, name := range []string{"..", "../../pods", ""} {
		if _, _, err := c.Read(ctx, "Secret", "ns", name); err == nil {
			t.Errorf("%q was taken for the name of a secret", name)
		}
	}
	data, found, err := c.Read(ctx, "ConfigMap", "ns", "c")
	if err != nil || !found || string(data["k"]) != "open" || string(data["b"]) != "\x00\x01" {
		t.Errorf("config map: %q %v %v", data, found, err)
	}
	for namespace, want := range map[string]string{"ns": "apps/v1 DaemonSet d u2", "bare": "v1 Pod p u1"} {
		o, err := c.Owner(ctx, types.NamespacedName{Namespace: namespace, Name: "p"})
		if err != nil || len(o) != 1 || o[0].APIVersion+" "+o[0].Kind+" "+o[0].Name+" "+string(o[0].UID) != want || o[0].BlockOwnerDeletion != nil {
			t.Errorf("owner of a Pod in %s: %+v %v", namespace, o, err)
		}
	}
	if o, err := c.Owner(ctx, types.NamespacedName{Namespace: "empty", Name: "p"}); err == nil {
		t.Errorf("owner of a Pod that is not there: %v", o)
	}
	if pods, err := c.Pods(ctx); err != nil || pods["u1"].Name != "p" || len(pods) != 1 {
		t.Errorf("pods: %v %v", pods, err)
	}
}

// What a watch says of the time before the read is not told.
func TestWatch(t *testing.T) {
	const secret = `{"kind":"Secret","apiVersion":"v1","metadata":{"resourceVersion":"%s"},"data":{"k":"%s"}}`
	event := func(kind, version, data string) string {
		return `{"type":"` + kind + `","object":` + fmt.Sprintf(secret, version, data) + "}\n"
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		q := r.URL.Query()
		var body string
		switch {
		case q.Get("watch") == "":
			body = fmt.Sprintf(secret, "7", "b25l")
		case r.URL.Path != "/api/v1/namespaces/ns/secrets", q.Get("fieldSelector") != "metadata.name=s", q.Get("timeoutSeconds") == "":
			w.WriteHeader(http.StatusBadRequest)
		default:
			body = event("ADDED", "5", "b2xk") + event("MODIFIED", "7", "b25l") + event("MODIFIED", "8", "dHdv") + event("DELETED", "9", "dHdv") +
				`{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410,"message":"too old"}}`
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	c, err := New(&rest.Config{Host: s.URL}, "n")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	err = c.Watch(t.Context(), "Secret", "ns", "s", func(data map[string][]byte, found bool) {
		told = append(told, fmt.Sprintf("%s %v", data["k"], found))
	})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("ended with %v", err)
	}
	if got := strings.Join(told, ", "); got != "one true, two true,  false" {
		t.Errorf("told %q", got)
	}
}
