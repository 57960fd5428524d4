package workload

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestAffinityIsCombined(t *testing.T) {
	const node = `{key: metadata.name, operator: In, values: [node-1]}`
	for _, tt := range []struct{ name, in, want string }{
		{"none", `{}`, `[{matchFields: [` + node + `]}]`},
		{"other affinity only", `{affinity: {podAffinity: {}}}`, `[{matchFields: [` + node + `]}]`},
		{"null", `{affinity: null}`, `[{matchFields: [` + node + `]}]`},
		{"each of the user's terms",
			`{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
				{matchExpressions: [{key: gpu, operator: Exists}]},
				{matchFields: [{key: metadata.name, operator: NotIn, values: [x]}]}]}}}}`,
			`[{matchExpressions: [{key: gpu, operator: Exists}], matchFields: [` + node + `]},
			  {matchFields: [{key: metadata.name, operator: NotIn, values: [x]}, ` + node + `]}]`},
		{"an empty term goes on to select nothing",
			`{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}]}}}}`, `[{}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var spec, want any
			if err := json.Unmarshal(fromYAML(t, tt.in), &spec); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(fromYAML(t, tt.want), &want); err != nil {
				t.Fatal(err)
			}
			m := spec.(map[string]any)
			if err := pin(m, []string{"node-1"}); err != nil {
				t.Fatal(err)
			}
			got := m["affinity"].(map[string]any)["nodeAffinity"].(map[string]any)["requiredDuringSchedulingIgnoredDuringExecution"].(map[string]any)["nodeSelectorTerms"]
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("terms (-want +got):\n%s", d)
			}
		})
	}
}

// A Job may run only on its Instance's nodes: an attacker on one node can make
// an Instance for it, and must not start anything elsewhere.
func TestJobsAreOnTheirNodes(t *testing.T) {
	const (
		asks  = `{template: {spec: {restartPolicy: Never, containers: [{name: a, image: i, resources: {limits: {"{{PLACEHOLDER}}": 1}}}]}}}`
		plain = `{template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}`
		gpu   = `{template: {spec: {containers: [{name: a}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: Exists}]}, {}]}}}}}}`
	)
	on := func(node string) string {
		return `matchFields: [{key: metadata.name, operator: In, values: [` + node + `]}]`
	}
	for _, tt := range []struct {
		name, spec string
		inst       *v0.Instance
		want       string
	}{
		{"local", plain, instance("cam-1", false, "a"), `[{` + on("a") + `}]`},
		{"local, of two by mistake", plain, instance("cam-1", false, "a", "b"), `[{` + on("a") + `}]`},
		{"shared", plain, instance("cam-1", true, "a", "b"), `[{` + on("a") + `}, {` + on("b") + `}]`},
		{"with terms of the user's", gpu, instance("cam-1", true, "a", "b"),
			`[{matchExpressions: [{key: gpu, operator: Exists}], ` + on("a") + `}, {matchExpressions: [{key: gpu, operator: Exists}], ` + on("b") + `}, {}]`},
		{"asks for the resource: where it is offered", asks, instance("cam-1", true, "a"), `null`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tmpl, err := ParseJob(fromYAML(t, tt.spec))
			if err != nil {
				t.Fatal(err)
			}
			job, err := tmpl.Job(tt.inst, 1)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := unstructured.NestedFieldNoCopy(job.Object, "spec", "template", "spec", "affinity", "nodeAffinity",
				"requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal(fromYAML(t, tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("terms (-want +got):\n%s", d)
			}
		})
	}
	if _, err := ParseJob(fromYAML(t, `{template: {spec: {containers: [{name: x}], affinity: []}}}`)); err == nil || !strings.Contains(err.Error(), "template.spec.affinity") {
		t.Errorf("a broken affinity: %v", err)
	}
}
