//go:build integration

// Package containment tries what an agent's token can do, with the chart's
// roles and policies on a real API server: the work of its own node, and
// nothing else.
package containment

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
	"testing"
	"text/template"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
)

// The content types of request bodies.
const (
	post  = types.PatchType("application/json")
	merge = types.MergePatchType
	jsonp = types.JSONPatchType
	apply = types.ApplyYAMLPatchType
)

const (
	cams           = "/apis/akri.sh/v0/namespaces/cams/"
	instances      = cams + "instances/"
	configurations = cams + "configurations/"
)

// request is one that the agent of node-a makes.
type request struct {
	name string
	verb string
	path string
	kind types.PatchType
	// body may refer to {{.UID}}, the Configuration's.
	body string
	// force is for apply.
	force bool
	// manager is the field manager; empty means the agent's on node-a.
	manager string
	// want is part of the answer; empty means that it must succeed.
	want string
}

// fixture is a cluster with two nodes, "node-a" and "node-b", a Configuration
// "cam" and these Instances of it:
//
//	cam-000001  shared, led by node-a, joined by node-b
//	cam-000002  local, of node-b
//	cam-000003  shared, of node-b
//	cam-000004  shared, of node-b, as upstream's agents made it
//	cam-000005  shared, led by node-b, joined by node-a
//	cam-000006  local, of node-a
//	cam-000007  shared, of no node; node-b holds a slot
type fixture struct {
	server *kubetest.Server
	admin  rest.Interface
	uid    string
}

const owner = `"ownerReferences":[{"apiVersion":"akri.sh/v0","kind":"Configuration","name":"cam","uid":"{{.UID}}","controller":true,"blockOwnerDeletion":true}]`

func TestContainment(t *testing.T) {
	w := newFixture(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"expressions", testExpressions},
		{"own Instances", testOwnInstances},
		{"others' Instances", testOthersInstances},
		{"bounds", testBounds},
		{"everything else", testEverythingElse},
		{"Leases", testLeases},
		{"Configurations and Events", testConfigurations}, // last: it gives the agents all rights
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, w) })
	}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{server: kubetest.Start(t, kubetest.WithControllerManager("validatingadmissionpolicy-status-controller"))}
	w.admin = restClient(t, w.server.Config)
	w.must(t, request{verb: "POST", path: "/api/v1/namespaces", kind: post, body: `{"metadata":{"name":"cams"}}`})
	made := w.must(t, request{verb: "POST", path: configurations, kind: post, body: `{"apiVersion":"akri.sh/v0","kind":"Configuration",
		"metadata":{"name":"cam","finalizers":["node-b"]},"spec":{"discoveryHandler":{"name":"udev"},"capacity":4}}`})
	var configuration struct {
		Metadata struct{ UID string }
	}
	if err := json.Unmarshal(made, &configuration); err != nil {
		t.Fatal(err)
	}
	w.uid = configuration.Metadata.UID
	instance := func(name, labels, meta, spec string) {
		w.must(t, request{verb: "POST", path: instances, kind: post, body: `{"apiVersion":"akri.sh/v0","kind":"Instance",
			"metadata":{"name":"` + name + `",` + owner + `,"labels":{` + labels + `}` + meta + `},
			"spec":{"configurationName":"cam","cdiName":"akri.sh/cam=` + name[4:] + `","capacity":4,"brokerProperties":{"K":"1","L":"2"},` + spec + `}}`})
	}
	const (
		shared = `"akri.sh/configuration":"cam","akri.sh/shared":"true","team":"x"`
		id     = `,"annotations":{"akri.sh/device-id":"camera","note":"y"}`
	)
	instance("cam-000001", shared, id, `"shared":true,"nodes":["node-a","node-b"],
		"deviceUsage":{"cam-000001-0":"node-b","cam-000001-1":"node-a","cam-000001-2":"","cam-000001-3":"C:cam-000001-3:node-b"}`)
	instance("cam-000002", `"akri.sh/configuration":"cam","akri.sh/node":"node-b"`, id, `"shared":false,"nodes":["node-b"]`)
	instance("cam-000003", shared, id, `"shared":true,"nodes":["node-b"],"deviceUsage":{"cam-000003-0":"C:cam-0:node-a"}`)
	instance("cam-000004", ``, `,"finalizers":["node-a","node-b"]`, `"shared":true,"nodes":["node-b"]`)
	instance("cam-000005", shared, id, `"shared":true,"nodes":["node-b","node-a"],"deviceUsage":{"cam-000005-0":"node-b"}`)
	instance("cam-000006", `"akri.sh/configuration":"cam","akri.sh/node":"node-a"`, id, `"shared":false,"nodes":["node-a"]`)
	instance("cam-000007", shared, id, `"shared":true,"deviceUsage":{"cam-000007-0":"","cam-000007-1":"C:cam-000007-1:node-b"}`)
	for _, name := range []string{instances + "cam-000001", instances + "cam-000005", configurations + "cam"} {
		w.must(t, request{verb: "PATCH", path: name + "/status", kind: merge, body: `{"status":{
			"nodes":[{"name":"node-b","state":"Offline"}],
			"conditions":[{"type":"T","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`})
	}
	if err := chartuser.Install(t.Context(), w.server.Config); err != nil {
		t.Fatal(err)
	}
	return w
}

// agent returns a client with the token of the agent on a node; without a node
// it is bound to none.
func (w *fixture) agent(t *testing.T, node string) rest.Interface {
	t.Helper()
	cfg, err := chartuser.AgentToken(t.Context(), w.server.Config, node)
	if err != nil {
		t.Fatal(err)
	}
	return restClient(t, cfg)
}

func restClient(t *testing.T, cfg *rest.Config) rest.Interface {
	t.Helper()
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cs.Discovery().RESTClient()
}

// must makes a request as the administrator.
func (w *fixture) must(t *testing.T, r request) []byte {
	t.Helper()
	r.manager = cmp.Or(r.manager, "admin")
	out, err := w.send(t, w.admin, r, false)
	if err != nil {
		t.Fatalf("%s %s: %v", r.verb, r.path, err)
	}
	return out
}

// try makes requests, all in a dry run, and compares the answers.
func (w *fixture) try(t *testing.T, c rest.Interface, requests []request) {
	t.Helper()
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			_, err := w.send(t, c, r, true)
			switch {
			case r.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case r.want != "" && err == nil:
				t.Errorf("allowed; want %q", r.want)
			case r.want != "" && !strings.Contains(err.Error(), r.want):
				t.Errorf("got %v; want %q", err, r.want)
			case err != nil:
				t.Log(err)
			}
		})
	}
}

// send makes one request, dry if nothing is to come of it.
func (w *fixture) send(t *testing.T, c rest.Interface, r request, dry bool) ([]byte, error) {
	t.Helper()
	text, err := template.New("").Parse(r.body)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if err := text.Execute(&body, struct{ UID string }{w.uid}); err != nil {
		t.Fatal(err)
	}
	// Verbs other than GET only; a query in the path stays one.
	req := c.Verb(r.verb).AbsPath(strings.TrimSuffix(r.path, "/"))
	if dry && r.verb != "GET" {
		req.Param("dryRun", "All")
	}
	if r.verb != "GET" && r.verb != "DELETE" {
		req.Param("fieldManager", cmp.Or(r.manager, "akri-agent/node-a"))
	}
	if r.force {
		req.Param("force", "true")
	}
	if r.kind != "" {
		req.SetHeader("Content-Type", string(r.kind)).Body(body.Bytes())
	}
	result := req.Do(t.Context())
	if err := result.Error(); err != nil {
		return nil, err // what Raw returns says less
	}
	return result.Raw()
}
