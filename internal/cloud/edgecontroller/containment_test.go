//go:build integration

package edgecontroller

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// TestContainment is what a hostile edge node, with a valid certificate, tries:
// each is refused by cloudcore or by the API server, and what is allowed beside
// it works, so that a refusal is not one of everything.
func TestContainment(t *testing.T) {
	k := newCluster(t)
	k.node("n1")
	k.node("n2")
	mine := k.pod("mine", "n1", "web")
	theirs := k.pod("theirs", "n2", "other")
	ended := k.pod("ended", "n1", "batch")
	_, err := k.admin.CoreV1().Pods("default").Patch(t.Context(), "ended", types.MergePatchType,
		[]byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status")
	k.must(err)
	c := run(t, k.server.Config, Options{})
	e := connect(t, c, "n1")
	e.names(e.granted(podsOf("n1")), "ended", "mine")

	const (
		merge  = "application/merge-patch+json"
		asJSON = "application/json"
		pods   = "/api/v1/namespaces/default/pods/"
		leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
	)
	account := func(name string) edgev1.As { return edgev1.As{ServiceAccount: name} }
	asMine := edgev1.As{ServiceAccount: "default/web", Pod: "mine", PodUID: string(mine.UID)}
	token := func(pod, uid string) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"boundObjectRef":`+
			`{"apiVersion":"v1","kind":"Pod","name":%q,"uid":%q}}}`, pod, uid)
	}

	t.Run("interests", func(t *testing.T) {
		of := func(resource, namespace, fields string, as edgev1.As) edgev1.Interest {
			return edgev1.Interest{Version: "v1", Resource: resource, Namespace: namespace, FieldSelector: fields, As: as}
		}
		for name, i := range map[string]edgev1.Interest{
			"another node's Pods":            podsOf("n2"),
			"all Pods":                       of("pods", "", "", edgev1.As{}),
			"all Pods that are bound":        of("pods", "", "spec.nodeName!=", edgev1.As{}),
			"all Pods but one's own":         of("pods", "", "spec.nodeName!=n1", edgev1.As{}),
			"a Pod of another node":          named("pods", "theirs"),
			"another node's Secret":          named("secrets", "theirs"),
			"another node's ConfigMap":       named("configmaps", "theirs"),
			"a Namespace's Secrets":          of("secrets", "default", "", edgev1.As{}),
			"all Secrets":                    of("secrets", "", "", edgev1.As{}),
			"Secrets of its name everywhere": of("secrets", "", "metadata.name=mine", edgev1.As{}),
			"all Secrets but one":            of("secrets", "default", "metadata.name!=x", edgev1.As{}),
			"another Node":                   of("nodes", "", "metadata.name=n2", edgev1.As{}),
			"all Nodes":                      of("nodes", "", "", edgev1.As{}),
			"all Namespaces":                 of("namespaces", "", "", edgev1.As{}),
			"roles": {Group: "rbac.authorization.k8s.io", Version: "v1",
				Resource: "clusterroles"},
			"a Lease of another node, read": {Group: "coordination.k8s.io", Version: "v1",
				Resource: "leases", Namespace: "kube-node-lease", FieldSelector: "metadata.name=n2", Get: true},
			"another node's CSINode": {Group: "storage.k8s.io", Version: "v1", Resource: "csinodes",
				FieldSelector: "metadata.name=n2", Get: true},
			"a Secret as kube-proxy": of("secrets", "default", "metadata.name=mine",
				edgev1.As{Component: "kube-proxy"}),
			"as another component": of("services", "", "",
				edgev1.As{Component: "kube-controller-manager"}),
			"a Secret as a service account of its own": of("secrets", "default", "metadata.name=mine",
				account("default/web")),
			"as a service account of another node":     of("services", "", "", account("default/other")),
			"as a service account whose Pod has ended": of("services", "", "", account("default/batch")),
			"as a service account that has no Pod":     of("services", "", "", account("kube-system/default")),
			"as a user that is none":                   of("services", "", "", account("x/y:z")),
			"as a Pod of another node": of("services", "", "",
				edgev1.As{ServiceAccount: "default/other", Pod: "theirs", PodUID: string(theirs.UID)}),
			"as its Pod with another one's UID": of("services", "", "",
				edgev1.As{ServiceAccount: "default/web", Pod: "mine", PodUID: string(theirs.UID)}),
			"as its Pod that has ended": of("services", "", "",
				edgev1.As{ServiceAccount: "default/batch", Pod: "ended", PodUID: string(ended.UID)}),
			"a subresource":        of("pods/log", "default", "", edgev1.As{}),
			"a path in a resource": of("../secrets", "", "", edgev1.As{}),
			"a path in a namespace": of("configmaps", "default/../kube-system",
				"metadata.name=mine", edgev1.As{}),
			"a path in a name": of("configmaps", "default", "metadata.name=../../secrets",
				edgev1.As{}),
			"a path in a group":                           {Group: "apps/v1/watch", Version: "v1", Resource: "deployments"},
			"a query in a version":                        {Version: "v1?x=y", Resource: "services"},
			"what there is not, though it may be watched": {Group: "node.k8s.io", Version: "v9", Resource: "runtimeclasses"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := connect(t, c, "n1")
				if r := e.outcome(e.want(i)); r == nil || r.Code < 400 || r.Code >= 500 || r.Message == "" {
					t.Errorf("%+v: %+v", i, r)
				} else if t.Logf("%d %s", r.Code, r.Message); len(e.objects) > 0 {
					t.Errorf("it was sent %v", slices.Collect(maps.Keys(e.objects)))
				}
			})
		}
	})

	t.Run("calls", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			edgev1.Call
		}{
			{"read another node's Pod", edgev1.Call{Method: "GET", Path: pods + "theirs"}},
			{"read another node's Secret", edgev1.Call{Method: "GET", Path: "/api/v1/namespaces/default/secrets/theirs"}},
			{"list Secrets", edgev1.Call{Method: "GET", Path: "/api/v1/secrets", Query: "limit=1"}},
			{"read another Node", edgev1.Call{Method: "GET", Path: "/api/v1/nodes/n2"}},
			{"delete another node's Pod", edgev1.Call{Method: "DELETE", Path: pods + "theirs"}},
			{"write another node's Pod's status", edgev1.Call{Method: "PATCH", Path: pods + "theirs/status",
				ContentType: merge, Body: []byte(`{"status":{"phase":"Failed"}}`)}},
			{"change its Pod's spec", edgev1.Call{Method: "PATCH", Path: pods + "mine", ContentType: merge,
				Body: []byte(`{"spec":{"containers":[{"name":"c","image":"evil"}]}}`)}},
			{"make a Pod", edgev1.Call{Method: "POST", Path: strings.TrimSuffix(pods, "/"), ContentType: asJSON,
				Body: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"new"},"spec":{"nodeName":"n2","containers":[{"name":"c","image":"i"}]}}`)}},
			{"bind a Pod", edgev1.Call{Method: "POST", Path: pods + "mine/binding", ContentType: asJSON,
				Body: []byte(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":"mine"},"target":{"kind":"Node","name":"n1"}}`)}},
			{"evict another node's Pod", edgev1.Call{Method: "POST", Path: pods + "theirs/eviction", ContentType: asJSON,
				Body: []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"theirs","namespace":"default"}}`)}},
			{"write another Node's status", edgev1.Call{Method: "PATCH", Path: "/api/v1/nodes/n2/status",
				ContentType: merge, Body: []byte(`{"status":{"phase":"x"}}`)}},
			{"label its Node as it likes", edgev1.Call{Method: "PATCH", Path: "/api/v1/nodes/n1", ContentType: merge,
				Body: []byte(`{"metadata":{"labels":{"node-restriction.kubernetes.io/x":"y"}}}`)}},
			{"make itself a control plane", edgev1.Call{Method: "PATCH", Path: "/api/v1/nodes/n1", ContentType: merge,
				Body: []byte(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}`)}},
			{"take its taints off", edgev1.Call{Method: "PATCH", Path: "/api/v1/nodes/n1", ContentType: merge,
				Body: []byte(`{"spec":{"taints":[{"key":"x","effect":"NoSchedule"}]}}`)}},
			{"delete its Node", edgev1.Call{Method: "DELETE", Path: "/api/v1/nodes/n1"}},
			{"make another Node", edgev1.Call{Method: "POST", Path: "/api/v1/nodes", ContentType: asJSON,
				Body: []byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n3"}}`)}},
			{"renew another node's Lease", edgev1.Call{Method: "PATCH", Path: leases + "/n2", ContentType: merge,
				Body: []byte(`{"spec":{"holderIdentity":"n1"}}`)}},
			{"make another node's Lease", edgev1.Call{Method: "POST", Path: leases, ContentType: asJSON,
				Body: []byte(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"n2"},"spec":{"holderIdentity":"n2"}}`)}},
			{"take a leader's Lease", edgev1.Call{Method: "PATCH",
				Path: "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler", ContentType: merge, Body: []byte(`{"spec":{"holderIdentity":"n1"}}`)}},
			{"a token of another node's Pod", edgev1.Call{Method: "POST",
				Path: "/api/v1/namespaces/default/serviceaccounts/other/token", ContentType: asJSON, Body: token("theirs",
					string(theirs.UID))}},
			{"a token that is not bound", edgev1.Call{Method: "POST",
				Path: "/api/v1/namespaces/default/serviceaccounts/web/token", ContentType: asJSON, Body: []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`)}},
			{"a token for another Pod's UID", edgev1.Call{Method: "POST",
				Path: "/api/v1/namespaces/default/serviceaccounts/web/token", ContentType: asJSON, Body: token("mine",
					string(theirs.UID))}},
			{"call as an account of another node", edgev1.Call{Method: "GET", Path: "/version", As: account("default/other")}},
			{"call as an account of a Pod that has ended", edgev1.Call{Method: "GET", Path: "/version",
				As: account("default/batch")}},
			{"call as an account of the system", edgev1.Call{Method: "GET", Path: "/version",
				As: account("kube-system/generic-garbage-collector")}},
			{"call as another component", edgev1.Call{Method: "GET", Path: "/version",
				As: edgev1.As{Component: "kube-scheduler"}}},
			{"more as an account than it may", edgev1.Call{Method: "GET",
				Path: "/api/v1/namespaces/default/secrets/mine", As: asMine}},
			{"more as kube-proxy than it may", edgev1.Call{Method: "GET",
				Path: "/api/v1/namespaces/default/secrets/mine", As: edgev1.As{Component: "kube-proxy"}}},
			{"impersonate in the query", edgev1.Call{Method: "GET", Path: "/api/v1/secrets",
				Query: "Impersonate-User=admin&Impersonate-Group=system:masters"}},
			{"impersonate in a header", edgev1.Call{Method: "GET", Path: "/api/v1/secrets",
				Accept: "*/*\r\nImpersonate-Group: system:masters"}},
			{"impersonate in the path", edgev1.Call{Method: "GET",
				Path: "/api/v1/secrets HTTP/1.1\r\nImpersonate-Group: system:masters\r\nX:"}},
			{"impersonate in the method",
				edgev1.Call{Method: "GET /api/v1/secrets HTTP/1.1\r\nImpersonate-Group: system:masters\r\n\r\nGET",
					Path: "/version"}},
			{"leave the API by ..", edgev1.Call{Method: "GET", Path: "/api/v1/../../metrics"}},
			{"leave the API by %2e%2e", edgev1.Call{Method: "GET", Path: "/api/v1/%2e%2e/%2e%2e/metrics"}},
			{"leave the API server", edgev1.Call{Method: "GET", Path: "//169.254.169.254/latest/meta-data"}},
			{"the API server's metrics", edgev1.Call{Method: "GET", Path: "/metrics"}},
			{"the API server's profile", edgev1.Call{Method: "GET", Path: "/debug/pprof/goroutine"}},
			{"a watch", edgev1.Call{Method: "GET", Path: "/api/v1/services", Query: "watch=1"}},
			{"a watch in the path", edgev1.Call{Method: "GET", Path: "/api/v1/watch/services"}},
			{"exec", edgev1.Call{Method: "POST", Path: pods + "mine/exec", Query: "command=sh&stdin=true"}},
			{"port-forward", edgev1.Call{Method: "POST", Path: pods + "mine/portforward"}},
			{"through another node's kubelet", edgev1.Call{Method: "GET", Path: "/api/v1/nodes/n2/proxy/pods"}},
			{"a body that is too large", edgev1.Call{Method: "POST", Path: "/api/v1/nodes", ContentType: asJSON,
				Body: make([]byte, 3<<20+1)}},
			{"approve a certificate", edgev1.Call{Method: "PATCH",
				Path: "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval", ContentType: merge, Body: []byte(`{}`)}},
			{"make itself an administrator", edgev1.Call{Method: "POST",
				Path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", ContentType: asJSON, Body: []byte(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:nodes"}]}`)}},
		} {
			r := e.call(tt.Call)
			if r.Status < 400 || r.Status >= 500 {
				t.Errorf("%s: %d %s", tt.name, r.Status, r.Body)
			}
			var s metav1.Status
			if err := json.Unmarshal(r.Body, &s); err != nil || s.Message == "" {
				t.Errorf("%s: the refusal is %q", tt.name, r.Body)
			}
			t.Logf("%s: %d %.200s", tt.name, r.Status, s.Message)
		}
		if _, err := k.admin.RbacV1().ClusterRoleBindings().Get(t.Context(), "x", metav1.GetOptions{}); err == nil {
			t.Error("it has made itself an administrator")
		}
	})

	t.Run("what it may", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			edgev1.Call
		}{
			{"read its Pod", edgev1.Call{Method: "GET", Path: pods + "mine"}},
			{"read its Secret", edgev1.Call{Method: "GET", Path: "/api/v1/namespaces/default/secrets/mine"}},
			{"write its Pod's status", edgev1.Call{Method: "PATCH", Path: pods + "mine/status", ContentType: merge,
				Body: []byte(`{"status":{"phase":"Running"}}`)}},
			{"get a token for its Pod", edgev1.Call{Method: "POST",
				Path: "/api/v1/namespaces/default/serviceaccounts/web/token", ContentType: asJSON, Body: token("mine",
					string(mine.UID))}},
			{"ask who it is, as its Pod", edgev1.Call{Method: "POST",
				Path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", ContentType: asJSON, As: asMine, Body: []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)}},
			{"read the discovery", edgev1.Call{Method: "GET", Path: "/apis"}},
		} {
			if r := e.call(tt.Call); r.Status >= http.StatusMultipleChoices {
				t.Errorf("%s: %d %s", tt.name, r.Status, r.Body)
			}
		}
		i := named("secrets", "mine")
		e.names(e.granted(i), "mine")
	})
}
