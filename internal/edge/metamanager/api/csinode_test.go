package api

import (
	"net/http"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Whoever asks for the kubelet's CSINode before the Node is there is told to ask
// again soon, whatever the cluster has.
func TestCSINodeComesAfterItsNode(t *testing.T) {
	notFound := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","details":{"name":"` + node + `","kind":"csinodes"},"code":404}`
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		return edgev1.Reply{Status: http.StatusNotFound, ContentType: "application/json", Body: []byte(notFound)}, nil
	}}
	cloud.linked.Store(true)
	e := newEdge(t, cloud)
	nodes := edgev1.Interest{Version: "v1", Resource: "nodes", FieldSelector: "metadata.name=" + node}
	const path, other = "/apis/storage.k8s.io/v1/csinodes/" + node + "?resourceVersion=0", "/apis/storage.k8s.io/v1/csinodes/other"
	check := func(when, path string, want int, retryAfter string) {
		t.Helper()
		r, _ := e.ask(t, http.MethodGet, path, "application/json", "")
		if r.StatusCode != want || r.Header.Get("Retry-After") != retryAfter {
			t.Errorf("%s: %s, Retry-After %q, want %d, %q", when, r.Status, r.Header.Get("Retry-After"), want, retryAfter)
		}
	}
	check("nothing is known", path, http.StatusServiceUnavailable, "1")
	if err := e.store.Add(nodes); err != nil {
		t.Fatal(err)
	}
	e.store.Complete(nodes, "5")
	check("there is no Node", path, http.StatusServiceUnavailable, "1")
	check("another node's", other, http.StatusNotFound, "")
	if err := e.store.Put(nodes, "6", []byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"`+node+`","uid":"u","resourceVersion":"6"}}`)); err != nil {
		t.Fatal(err)
	}
	check("the Node is there", path, http.StatusNotFound, "")
}
