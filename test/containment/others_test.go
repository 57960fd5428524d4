//go:build integration

package containment

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/test/testcluster"
)

const (
	events           = "/apis/events.k8s.io/v1/namespaces/cams/events"
	nodeEvents       = "/apis/events.k8s.io/v1/namespaces/default/events"
	sayEvent         = "an agent's Events are reported by akri.sh/agent on its own node"
	sayConfiguration = "an agent does not write Configurations"
)

func event(controller, instance, group string) string {
	return fmt.Sprintf(`{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"cam.18a0b1c2d3e4f5061"},"eventTime":"2026-01-01T00:00:00.000000Z",
		"type":"Normal","reason":"R","action":"A","reportingController":"%s","reportingInstance":"%s",
		"regarding":{"apiVersion":"%s","kind":"Configuration","namespace":"cams","name":"cam"}}`, controller, instance, group)
}

// nodeEvent is one about a Node.
func nodeEvent(node string) string {
	return fmt.Sprintf(`{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"%[1]s.18a0b1c2d3e4f5061"},"eventTime":"2026-01-01T00:00:00.000000Z",
		"type":"Warning","reason":"R","action":"A","reportingController":"akri.sh/agent","reportingInstance":"node-a",
		"regarding":{"apiVersion":"v1","kind":"Node","name":"%[1]s","uid":"%[1]s"}}`, node)
}

func testConfigurations(t *testing.T, w *fixture) {
	const cam = configurations + "cam"
	status := func(name, body, want string) request {
		return request{name: name, verb: "PATCH", path: cam + "/status", kind: jsonp, body: body, want: want}
	}
	const no = `cannot patch resource "configurations"`
	agent := w.agent(t, "node-a")
	w.try(t, agent, []request{
		{name: "its own entry", verb: "PATCH", path: cam + "/status", kind: apply,
			body: `{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"cam"},"status":{"nodes":[{"name":"node-a","state":"Active"}]}}`},
		status("another's entry", `[{"op":"replace","path":"/status/nodes/0/message","value":"x"}]`, sayStatus),
		status("another's entry away", `[{"op":"remove","path":"/status/nodes/0"}]`, sayStatus),
		status("conditions", `[{"op":"remove","path":"/status/conditions"}]`, sayStatus),
		status("generation", `[{"op":"add","path":"/status/observedGeneration","value":9}]`, sayStatus),
		status("counts", `[{"op":"add","path":"/status/devices","value":9}]`, sayStatus),
		status("brokers", `[{"op":"add","path":"/status/brokers","value":"9/9"}]`, sayStatus),
		{name: "broker", verb: "PATCH", path: cam, kind: merge, body: `{"spec":{"brokerSpec":{"brokerPodSpec":{"containers":[]}}}}`, want: no},
		{name: "labels", verb: "PATCH", path: cam, kind: merge, body: `{"metadata":{"labels":{"a":"b"}}}`, want: no},
		{name: "finalizers", verb: "PATCH", path: cam, kind: merge, body: `{"metadata":{"finalizers":null}}`, want: no},
		{name: "create", verb: "POST", path: configurations, kind: post, want: `cannot create resource "configurations"`,
			body: `{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"x"},"spec":{"discoveryHandler":{"name":"x"}}}`},
		{name: "delete", verb: "DELETE", path: cam, want: `cannot delete resource "configurations"`},

		{name: "Event", verb: "POST", path: events, kind: post, body: event("akri.sh/agent", "node-a", "akri.sh/v0")},
		{name: "Event of another node", verb: "POST", path: events, kind: post, body: event("akri.sh/agent", "node-b", "akri.sh/v0"), want: sayEvent},
		{name: "Event of the kubelet", verb: "POST", path: events, kind: post, body: event("kubelet", "node-a", "akri.sh/v0"), want: sayEvent},
		{name: "Event about something else", verb: "POST", path: events, kind: post, body: event("akri.sh/agent", "node-a", "v1"), want: sayEvent},
		{name: "Event about its own Node", verb: "POST", path: nodeEvents, kind: post, body: nodeEvent("node-a")},
		{name: "Event about another Node", verb: "POST", path: nodeEvents, kind: post, body: nodeEvent("node-b"), want: sayEvent},
	})

	// Where the agent may more than the chart gives it, as in a cluster without
	// RBAC, Configurations are still not its own.
	w.must(t, request{verb: "POST", path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", kind: post, body: `{"metadata":{"name":"too-much"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},
		"subjects":[{"kind":"ServiceAccount","name":"akri-agent-sa","namespace":"` + chartuser.Namespace + `"}]}`})
	eventually(t, "the binding", func() error {
		_, err := w.send(t, agent, request{verb: "GET", path: "/api/v1/nodes"}, false)
		return err
	})
	w.try(t, agent, []request{
		{name: "as an administrator: broker", verb: "PATCH", path: cam, kind: merge, body: `{"spec":{"capacity":9}}`, want: sayConfiguration},
		{name: "as an administrator: delete", verb: "DELETE", path: cam, want: sayConfiguration},
		{name: "as an administrator: delete all Instances", verb: "DELETE", path: instances, want: sayDelete},
	})
}

// testEverythingElse tests what the role does not allow, whatever the policies.
func testEverythingElse(t *testing.T, w *fixture) {
	agent := w.agent(t, "node-a")
	pod := `{"metadata":{"name":"x"},"spec":{"nodeName":"node-b","containers":[{"name":"c","image":"i","securityContext":{"privileged":true}}]}}`
	var table []request
	for _, r := range []struct{ verb, path, kind, body string }{
		{"POST", "/api/v1/namespaces/cams/pods", "pods", pod},
		{"DELETE", "/api/v1/namespaces/cams/pods/x", "pods", ""},
		{"GET", "/api/v1/namespaces/cams/pods/x", "pods", ""},
		{"POST", "/api/v1/namespaces/cams/pods/x/exec", "pods/exec", ""},
		{"GET", "/api/v1/namespaces/cams/pods/x/log", "pods/log", ""},
		{"POST", "/apis/batch/v1/namespaces/cams/jobs", "jobs", `{"metadata":{"name":"x"}}`},
		{"POST", "/apis/apps/v1/namespaces/cams/daemonsets", "daemonsets", `{"metadata":{"name":"x"}}`},
		{"POST", "/api/v1/namespaces/cams/services", "services", `{"metadata":{"name":"x"}}`},
		{"GET", "/api/v1/secrets", "secrets", ""},
		{"GET", "/api/v1/namespaces/cams/secrets/x", "secrets", ""},
		{"GET", "/api/v1/namespaces/" + chartuser.Namespace + "/secrets/x", "secrets", ""},
		{"GET", "/api/v1/namespaces/cams/configmaps/x", "configmaps", ""},
		{"POST", "/apis/resource.k8s.io/v1/resourceslices", "resourceslices", `{"metadata":{"name":"x"}}`},
		{"GET", "/api/v1/nodes/node-a", "nodes", ""},
		{"PATCH", "/api/v1/nodes/node-a", "nodes", `{}`},
		{"PATCH", "/api/v1/nodes/node-b/status", "nodes/status", `{}`},
		{"POST", "/api/v1/namespaces/" + chartuser.Namespace + "/serviceaccounts/akri-controller-sa/token", "serviceaccounts/token", `{}`},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "clusterrolebindings", `{"metadata":{"name":"x"}}`},
		{"DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/akri-agent-instance-update", "validatingadmissionpolicybindings", ""},
		{"PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/instances.akri.sh", "customresourcedefinitions", `{}`},
		{"GET", "/apis/coordination.k8s.io/v1/namespaces/" + chartuser.Namespace + "/leases", "leases", ""},
		{"GET", events, "events", ""},
	} {
		q := request{name: r.verb + " " + r.path, verb: r.verb, path: r.path, body: r.body, want: `resource "` + r.kind + `"`}
		switch {
		case r.verb == "PATCH":
			q.kind = merge
		case r.body != "":
			q.kind = post
		}
		table = append(table, q)
	}
	w.try(t, agent, table)

	// Nor may it pretend to be somebody else, itself on another node included.
	for name, who := range map[string]rest.ImpersonationConfig{
		"administrator": {UserName: "admin", Groups: []string{"system:masters"}},
		"other node":    chartuser.Agent(w.server.Config, "node-b").Impersonate,
	} {
		cfg, err := chartuser.AgentToken(t.Context(), w.server.Config, "node-a")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Impersonate = who
		w.try(t, restClient(t, cfg), []request{{name: "impersonate " + name, verb: "GET", path: instances, want: "cannot impersonate"}})
	}
}

// testExpressions makes the API server check the policies against the schemas.
func testExpressions(t *testing.T, w *fixture) {
	eventually(t, "all are checked", func() error {
		var list admissionv1.ValidatingAdmissionPolicyList
		raw := w.must(t, request{verb: "GET", path: "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"})
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		checked := 0
		for _, p := range list.Items {
			if !strings.HasPrefix(p.Name, "akri-agent-") || p.Status.TypeChecking == nil {
				continue
			}
			checked++
			for _, warning := range p.Status.TypeChecking.ExpressionWarnings {
				t.Fatalf("%s: %s: %s", p.Name, warning.FieldRef, warning.Warning)
			}
		}
		if checked != 7 {
			return fmt.Errorf("%d of 7 are", checked)
		}
		return nil
	})
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

const (
	leases   = "/apis/coordination.k8s.io/v1/namespaces/akri-system/leases/"
	sayLease = "an agent writes its own node's Lease and no other"
)

// testLeases tries what an agent may do with its own Lease and with others,
// among them the controllers' Lease.
func testLeases(t *testing.T, w *fixture) {
	lease := func(name, holder, more string) string {
		return fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"%s","labels":{"akri.sh/agent":"true"}%s},
			"spec":{"holderIdentity":"%s","leaseDurationSeconds":30,"renewTime":"2026-01-01T00:00:00.000000Z"}}`, name, more, holder)
	}
	write := func(name, path, body, want string) request {
		return request{name: name, verb: "PATCH", path: leases + path, kind: apply, force: true, body: body, want: want}
	}
	const only = "and one owner at most, a DaemonSet, and nothing else"
	huge := strings.Repeat("x", 1<<20)
	managed := func(name, fields string) request {
		return request{name: name, verb: "POST", path: leases, kind: post, want: only, body: lease("akri-agent-node-a", "node-a",
			`,"managedFields":[{"manager":"akri-agent/node-a","operation":"Apply","apiVersion":"coordination.k8s.io/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{`+fields+`}}]`)}
	}
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf(`"f:%d":{}`, i))
	}
	w.try(t, w.agent(t, "node-a"), []request{
		write("its own", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", ""), ""),
		write("renewed", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", ""), ""),
		write("with an owner", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","uid":"u"}]`), ""),
		write("another node's", "akri-agent-node-b", lease("akri-agent-node-b", "node-b", ""), sayLease),
		write("the controllers' leadership", "akri-controller", lease("akri-controller", "node-a", ""), sayLease),
		write("for another node", "akri-agent-node-a", lease("akri-agent-node-a", "node-b", ""), only),
		write("annotations", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"annotations":{"a":"b"}`), only),
		write("a huge name of an owner", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"`+huge+`","uid":"u"}]`), only),
		write("a huge UID of an owner", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","uid":"`+huge+`"}]`), only),
		write("a huge kind of an owner", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"`+huge+`","name":"d","uid":"u"}]`), only),
		write("another owner", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"d","uid":"u"}]`), only),
		managed("huge managedFields", `"f:spec":{"f:`+huge+`":{}}`),
		managed("deep managedFields", `"f:metadata":{"f:labels":{"f:akri.sh/agent":{"f:`+huge+`":{}}}}`),
		managed("many managedFields", `"f:metadata":{`+strings.Join(many, ",")+`}`),
		{name: "generateName", verb: "POST", path: leases, kind: post, want: only, body: lease("akri-agent-node-a", "node-a", `,"generateName":"x"`)},
		write("finalizers", "akri-agent-node-a", lease("akri-agent-node-a", "node-a", `,"finalizers":["x/y"]`), only),
		{name: "delete", verb: "DELETE", path: leases + "akri-agent-node-a", want: `cannot delete resource "leases"`},
		{name: "read", verb: "GET", path: leases + "akri-controller", want: `cannot get resource "leases"`},
		{name: "in another namespace", verb: "PATCH", path: "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-b", kind: merge,
			body: `{"spec":{"holderIdentity":"x"}}`, want: `cannot patch resource "leases"`},
	})
}
