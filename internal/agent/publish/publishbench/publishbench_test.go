//go:build integration

package publishbench

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
)

// BenchmarkPublish1000 compares a node that finds 1,000 devices at once with
// the API server's floor for 1,000 creates, in turns. The node is held by the
// chart's policies; the floor is not.
func BenchmarkPublish1000(b *testing.B) {
	server := kubetest.Start(b)
	if err := chartuser.Install(b.Context(), server.Config); err != nil {
		b.Fatal(err)
	}
	cs, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		b.Fatal(err)
	}
	admin := cs.Discovery().RESTClient()
	agent, err := chartuser.AgentToken(b.Context(), server.Config, "publish")
	if err != nil {
		b.Fatal(err)
	}
	const n = 1000
	var floor, took time.Duration
	for b.Loop() {
		t, err := Floor(b.Context(), target(b, admin, server.Config), n)
		if err != nil {
			b.Fatal(err)
		}
		floor += t
		to := target(b, admin, agent)
		if t, err = Publish(b.Context(), to, n); err != nil {
			b.Fatal(err)
		}
		took += t
		// The next round starts without them.
		if err := admin.Delete().AbsPath("/apis/akri.sh/v0/namespaces/" + to.Configuration.Namespace + "/instances").Do(b.Context()).Error(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(floor.Seconds()/float64(b.N), "s/floor")
	b.ReportMetric(took.Seconds()/float64(b.N), "s/publish")
	b.ReportMetric(took.Seconds()/floor.Seconds(), "ratio")
}

// target makes a Configuration in a namespace of its own.
func target(b *testing.B, admin rest.Interface, cfg *rest.Config) Target {
	b.Helper()
	post := func(path, body string) metav1.ObjectMeta {
		raw, err := admin.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body([]byte(body)).DoRaw(b.Context())
		if err != nil {
			b.Fatalf("%v\n%s", err, raw)
		}
		var o struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			b.Fatal(err)
		}
		return o.Metadata
	}
	ns := post("/api/v1/namespaces", `{"apiVersion":"v1","kind":"Namespace","metadata":{"generateName":"bench-"}}`)
	c := post("/apis/akri.sh/v0/namespaces/"+ns.Name+"/configurations",
		`{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"bench"},"spec":{"discoveryHandler":{"name":"debugEcho"}}}`)
	return Target{Config: cfg, Configuration: types.NamespacedName{Namespace: ns.Name, Name: "bench"}, UID: c.UID}
}
