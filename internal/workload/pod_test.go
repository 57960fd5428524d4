package workload

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
)

func fromYAML(t *testing.T, s string) []byte {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func instance(name string, shared bool, nodes ...string) *v0.Instance {
	return &v0.Instance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "instance"},
		Spec:       v0.InstanceSpec{ConfigurationName: "cam", Capacity: 1, Shared: shared, Nodes: nodes},
	}
}

func TestPodFromTemplate(t *testing.T) {
	tmpl, err := ParsePod(fromYAML(t, `
futureField: {deep: [1, 2.5, null]}
containers:
- name: main
  image: broker
  futureToo: true
  resources:
    requests: {"{{PLACEHOLDER}}": "1", cpu: 10m}
    limits: {"{{PLACEHOLDER}}": "1"}
    claims: [{name: gpu, request: r}]
- name: side
  image: plain
initContainers:
- name: init
  image: broker
  resources:
    limits: {"{{PLACEHOLDER}}": 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	if tmpl.Quantity != 2 {
		t.Errorf("quantity %d, want 2: the init container's, which is the largest at one time", tmpl.Quantity)
	}
	pod, err := tmpl.Pod(instance("cam-4294ea", true, "node-a"), "node-a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pod.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := fromYAML(t, `
apiVersion: v1
kind: Pod
metadata:
  name: node-a-cam-4294ea-pod
  namespace: ns
  labels:
    app: node-a-cam-4294ea-pod
    controller: akri.sh
    akri.sh/configuration: cam
    akri.sh/instance: cam-4294ea
    akri.sh/target-node: node-a
  annotations: {akri.sh/broker-spec-hash: `+tmpl.Hash+`}
  ownerReferences:
  - {apiVersion: akri.sh/v0, kind: Instance, name: cam-4294ea, uid: instance, controller: true, blockOwnerDeletion: true}
spec:
  futureField: {deep: [1, 2.5, null]}
  containers:
  - name: main
    image: broker
    futureToo: true
    resources:
      requests: {akri.sh/cam-4294ea: "1", cpu: 10m}
      limits: {akri.sh/cam-4294ea: "1"}
      claims: [{name: gpu, request: r}]
  - name: side
    image: plain
  initContainers:
  - name: init
    image: broker
    resources:
      limits: {akri.sh/cam-4294ea: 2}
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchFields: [{key: metadata.name, operator: In, values: [node-a]}]
`)
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil {
		t.Fatal("not JSON")
	}
	if d := cmp.Diff(b, a); d != "" {
		t.Errorf("Pod (-want +got):\n%s", d)
	}
	again, err := tmpl.Pod(instance("cam-000000", false, "node-b"), "node-b")
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := again.MarshalJSON(); strings.Contains(string(s), "4294ea") || strings.Contains(string(s), "node-a") {
		t.Errorf("a second Pod of the template has traces of the first: %s", s)
	}
}

func TestBrokenTemplates(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`[]`, "not a JSON object"},
		{`null`, "empty"},
		{`{}`, "containers: at least one"},
		{`{containers: none}`, "containers"},
		{`{containers: [1]}`, "containers"},
		{`{containers: [{name: x, resources: {limits: {cpu: {}}}}]}`, "quantities"},
		{`{containers: [{name: x, resources: {limits: {cpu: many}}}]}`, "quantities"},
		{`{containers: [{name: x}], affinity: []}`, "affinity"},
		{`{containers: [{name: x}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: {}}}}}`, "nodeSelectorTerms"},
	} {
		_, err := ParsePod(fromYAML(t, tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one about %q", tt.in, err, tt.want)
		}
	}
	if _, err := ParsePod([]byte("{")); err == nil {
		t.Error("half an object is accepted")
	}
}

func TestHashKnowsChanges(t *testing.T) {
	parse := func(s string) *PodTemplate {
		tmpl, err := ParsePod(fromYAML(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return tmpl
	}
	a := parse(`{containers: [{name: x, image: i}], hostNetwork: true}`)
	b := parse(`{hostNetwork: true, containers: [{image: i, name: x}]}`)
	c := parse(`{hostNetwork: true, containers: [{image: j, name: x}]}`)
	if a.Hash != b.Hash || a.Hash == c.Hash || len(a.Hash) != 16 {
		t.Errorf("hashes %s, %s, %s: want the first two equal, 16 digits", a.Hash, b.Hash, c.Hash)
	}
}

func FuzzParsePod(f *testing.F) {
	f.Add([]byte(`{"containers":[{"name":"a","resources":{"limits":{"{{PLACEHOLDER}}":"1"}}}],"affinity":{}}`))
	f.Add([]byte(`{"containers":[{"resources":null}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[]},null]}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tmpl, err := ParsePod(raw)
		if err != nil {
			return
		}
		pod, err := tmpl.Pod(instance("cam-1", true, "a"), "a")
		if err != nil {
			t.Fatalf("an accepted template makes no Pod: %v", err)
		}
		if _, err := pod.MarshalJSON(); err != nil {
			t.Fatalf("encode: %v", err)
		}
	})
}
