package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// A service account has its share, and the kubelet its own.
func TestShares(t *testing.T) {
	w := &shares{most: maxWatches, mostOfPods: maxPodWatches, mostOfAccount: maxAccountWatches}
	pod := func(i int) User { return User{As: edgev1.As{ServiceAccount: fmt.Sprint("n/", i)}} }
	for range maxAccountWatches {
		if !w.enter(pod(0)) {
			t.Fatal("too few")
		}
	}
	if w.enter(pod(0)) {
		t.Error("one account has more than its share")
	}
	n := maxAccountWatches
	for i := 1; w.enter(pod(i)); i++ {
		n++
	}
	if n != maxPodWatches {
		t.Errorf("Pods have %d watches", n)
	}
	for range maxWatches - maxPodWatches {
		if !w.enter(User{}) {
			t.Fatal("no place is left for the kubelet")
		}
	}
	if w.enter(User{}) {
		t.Error("too many")
	}
	w.leave(pod(1))
	if !w.enter(pod(1)) || len(w.accounts) == 0 {
		t.Error("what is left is not free")
	}
	w.leave(pod(1))
	if _, ok := w.accounts["n/1"]; ok {
		t.Error("accounts are never forgotten")
	}
}

// Requests that wait cost memory: those of a Pod are few, and others are answered.
func TestWaitingRequestsAreFew(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	p := e.with(signed(t, cluster, nil))
	for range maxAccountAsking {
		if !e.server.asking.enter(User{As: edgev1.As{ServiceAccount: "n/sa"}}) {
			t.Fatal("an account has less than its share")
		}
	}
	if resp, body := p.ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 429 {
		t.Errorf("the Pod: %d %s", resp.StatusCode, body)
	}
	if resp, body := e.ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Errorf("the kubelet: %d %s", resp.StatusCode, body)
	}
	e.server.asking.leave(User{As: edgev1.As{ServiceAccount: "n/sa"}})
	if resp, body := p.ask(t, "GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Errorf("the Pod, with a place: %d %s", resp.StatusCode, body)
	}
}

// Who may list but not watch is answered by the cloud.
func TestListWithoutWatch(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	cloud := &forbidding{silent: silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		return edgev1.Reply{Status: 200, Body: []byte(c.Path + "?" + c.Query)}, nil
	}}}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	p := e.with(signed(t, cluster, nil))
	for _, query := range []string{"limit=1", "continue=abc&limit=1"} {
		if resp, body := p.ask(t, "GET", "/api/v1/namespaces/n/configmaps?"+query, "", ""); resp.StatusCode != 200 || body != "/api/v1/namespaces/n/configmaps?"+query {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
	if resp, _ := p.ask(t, "GET", "/api/v1/namespaces/n/configmaps?watch=1", "", ""); resp.StatusCode != 403 {
		t.Errorf("a watch: %d", resp.StatusCode)
	}
	if resp, _ := e.ask(t, "GET", "/api/v1/namespaces/n/configmaps", "", ""); resp.StatusCode != 403 {
		t.Errorf("the kubelet: %d", resp.StatusCode)
	}
}

// forbidding is a cloud that refuses interests.
type forbidding struct {
	silent
}

func (f *forbidding) Want(context.Context, edgev1.Interest) error {
	return status(http.StatusForbidden, metav1.StatusReasonForbidden, "no")
}

// A Lease that a Pod elects its leader with is the cluster's: nothing of it is
// kept, and while the link is cut there is none.
func TestLeaderElection(t *testing.T) {
	e := filled(t)
	cluster := newIssuer(t)
	e.knows(t, cluster)
	cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
		if c.Method == http.MethodPut && !strings.Contains(string(c.Body), `"resourceVersion":"7"`) {
			t.Errorf("the API server gets %s", c.Body)
		}
		return edgev1.Reply{Status: 200, Body: []byte(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"leader","namespace":"n","uid":"l","resourceVersion":"7"}}`)}, nil
	}}
	cloud.linked.Store(true)
	e.server.Cloud = cloud
	p := e.with(signed(t, cluster, nil))
	const path = "/apis/coordination.k8s.io/v1/namespaces/n/leases/leader"
	before := e.store.Stats()
	_, lease := p.ask(t, "GET", path, "", "")
	if resp, body := p.ask(t, "PUT", path, "", lease); resp.StatusCode != 200 || !strings.Contains(body, `"resourceVersion":"7"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if after := e.store.Stats(); after != before {
		t.Errorf("the store has %+v, before %+v", after, before)
	}
	cloud.linked.Store(false)
	cloud.do = func(edgev1.Call) (edgev1.Reply, error) { return edgev1.Reply{}, errors.New("cut") }
	for _, method := range []string{"GET", "PUT"} {
		if resp, body := p.ask(t, method, path, "", lease); resp.StatusCode != 503 {
			t.Errorf("%s while cut: %d %s", method, resp.StatusCode, body)
		}
	}
}

// Clients in the node's own network without a certificate, such as Pods with
// hostNetwork, keep as many connections busy as they can: the kubelet's stay, and
// it can always open another.
func TestKubeletsConnections(t *testing.T) {
	e := filled(t)
	client, err := rest.HTTPClientFor(e.config)
	if err != nil {
		t.Fatal(err)
	}
	var mine string // the kubelet's connection, by its own port
	ask := func() {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			if at := c.Conn.LocalAddr().String(); mine == "" {
				mine = at
			} else if at != mine {
				t.Errorf("the kubelet's connection was closed")
			}
		}}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, e.config.Host+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	ask()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.ca.CertPEM)
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	for i := range 2 * maxConnections {
		// A request whose body does not come.
		c, err := tls.Dial("tcp", e.address, config)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			_, err = io.WriteString(c, "POST /api/v1/namespaces/n/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
		}
		if err != nil && i < maxConnectionsPerProgram {
			t.Fatal(err)
		}
	}
	ask()
	for range 5 {
		another := rest.CopyConfig(e.config)
		another.Dial = (&net.Dialer{}).DialContext // so that it shares no connection
		fresh := *e
		fresh.config = another
		if resp, body := fresh.ask(t, "GET", podsQuery, "", ""); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

// While the link is cut a part of what is followed is listed and watched, though
// nobody has asked for it before.
func TestPartWhileCut(t *testing.T) {
	e := filled(t)
	for query, want := range map[string]string{
		"/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Da,spec.nodeName%3D" + node:                              `"name":"a"`,
		"/api/v1/namespaces/n/pods?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Da,spec.nodeName%3D" + node:     `{"type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":{`,
		"/api/v1/namespaces/n/pods?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dother,spec.nodeName%3D" + node: "",
	} {
		resp, body := e.ask(t, "GET", query, "", "")
		if resp.StatusCode != 200 || !strings.Contains(body, want) || want == "" && body != "" {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	for _, query := range []string{ // it may be on another node
		"/api/v1/namespaces/n/pods?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Da",
		"/api/v1/namespaces/n/pods/a?watch=1&timeoutSeconds=1",
		"/api/v1/namespaces/n/pods",
	} {
		if resp, body := e.ask(t, "GET", query, "", ""); resp.StatusCode != 503 {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
}
