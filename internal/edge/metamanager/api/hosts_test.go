package api

import (
	"strings"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

func TestHosts(t *testing.T) {
	e := newEdge(t, &silent{})
	const names = "127.0.0.1 kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local"
	if got := strings.Join(Hosts(e.store, "cluster.local", "127.0.0.1"), " "); got != names {
		t.Errorf("before the Service is known: %s", got)
	}
	what := edgev1.Interest{Version: "v1", Resource: "services"}
	if err := e.store.Add(what); err != nil {
		t.Fatal(err)
	}
	const head = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"kubernetes","namespace":"default","uid":"u"},"spec":`
	for version, c := range map[string][2]string{
		"2": {`{"clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1","fd00::1"]}`, " 10.96.0.1 fd00::1"},
		"3": {`{"clusterIP":"10.97.0.1"}`, " 10.97.0.1"},
		"4": {`[]`, ""},
	} {
		e.store.Session() // in any order
		if err := e.store.Put(what, version, []byte(head+c[0]+"}")); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Hosts(e.store, "cluster.local", "127.0.0.1"), " "); got != names+c[1] {
			t.Errorf("%s: %s", c[0], got)
		}
	}
}
