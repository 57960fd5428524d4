package broker

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
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
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: owner},
		Spec:       v0.InstanceSpec{ConfigurationName: "cam", Capacity: 1, Shared: shared, Nodes: nodes},
	}
}

func TestPodFromTemplate(t *testing.T) {
	tmpl, err := ParseTemplate(fromYAML(t, `
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
	pod, err := tmpl.Pod(instance("cam-4294ea", true, "node-a"), "node-a", nil)
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
	again, err := tmpl.Pod(instance("cam-000000", false, "node-b"), "node-b", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := again.MarshalJSON(); strings.Contains(string(s), "4294ea") || strings.Contains(string(s), "node-a") {
		t.Errorf("a second Pod of the template has traces of the first: %s", s)
	}
}

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

// A Job may run on any of its Instance's nodes, and on no other: who takes over
// one node can make an Instance of it, and must not start anything elsewhere.
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
			tmpl, err := ParseJobTemplate(fromYAML(t, tt.spec))
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
	if _, err := ParseJobTemplate(fromYAML(t, `{template: {spec: {containers: [{name: x}], affinity: []}}}`)); err == nil || !strings.Contains(err.Error(), "template.spec.affinity") {
		t.Errorf("a broken affinity: %v", err)
	}
}

// Only slots that an Instance can have are somebody's.
func TestInstanceFacts(t *testing.T) {
	inst := instance("cam-1", true, "a", "b")
	inst.Spec.Capacity = 4
	inst.Spec.DeviceUsage = map[string]string{
		"cam-1-0": "a", "cam-1-1": "C:cam-1-1:b", "cam-1-2": "", "cam-1-3": "C::", "cam-1-5": "b",
		"cam-1-01": "x", "cam-1--1": "x", "cam-1-": "x", "cam-1": "x", "cam-1-10000": "x", "cam-1-99999999999999999999": "x", "cam-2-1": "x", "": "x", "-9999": "x",
	}
	f := instanceFacts(inst)
	held := map[string]int{}
	for _, u := range f.Usage {
		held[u.Node]++
	}
	// One that cannot be read is somebody's; one beyond the capacity is from
	// when there was more.
	if d := cmp.Diff(map[string]int{"a": 1, "b": 2, "": 1}, held); d != "" {
		t.Errorf("slots held (-want +got):\n%s", d)
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
		_, err := ParseTemplate(fromYAML(t, tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one about %q", tt.in, err, tt.want)
		}
	}
	if _, err := ParseTemplate([]byte("{")); err == nil {
		t.Error("half an object is accepted")
	}
}

func TestHashKnowsChanges(t *testing.T) {
	parse := func(s string) *Template {
		tmpl, err := ParseTemplate(fromYAML(t, s))
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

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{`{containers: [{name: a}]}`, 0},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": 1}}}, {name: b, resources: {limits: {"{{PLACEHOLDER}}": "2"}}}]}`, 3},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": 1}}}], initContainers: [{name: b, resources: {limits: {"{{PLACEHOLDER}}": 3}}}]}`, 3},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": 1}}}], initContainers: [{name: b, restartPolicy: Always, resources: {limits: {"{{PLACEHOLDER}}": 3}}}]}`, 4},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": -5}}}]}`, 0},
		{`{containers: [{name: a, resources: {requests: {other: 7}}}]}`, 0},
	} {
		tmpl, err := ParseTemplate(fromYAML(t, tt.in))
		if err != nil {
			t.Fatal(err)
		}
		if tmpl.Quantity != tt.want {
			t.Errorf("%s: quantity %d, want %d", tt.in, tmpl.Quantity, tt.want)
		}
	}
}

func TestPodName(t *testing.T) {
	long := strings.Repeat("n", 250)
	for _, tt := range []struct {
		instance, node string
		shared         bool
		want           string
	}{
		{"cam-4294ea", "node-a", false, "cam-4294ea-pod"},
		{"cam-4294ea", "node-a", true, "node-a-cam-4294ea-pod"},
		{"my.cam-4294ea", "node.example.com", true, "node.example.com-my-cam-4294ea-pod"},
		{"cam-4294ea", long, true, ""},
	} {
		got := PodName(tt.instance, tt.node, tt.shared)
		if tt.node != long && got != tt.want {
			t.Errorf("PodName(%q, %q) = %q, want %q", tt.instance, tt.node, got, tt.want)
		}
		if errs := validation.IsDNS1123Subdomain(got); len(errs) > 0 {
			t.Errorf("%q is not a Pod name: %v", got, errs)
		}
		if errs := validation.IsValidLabelValue(got); len(errs) > 0 {
			t.Errorf("%q is not a label value: %v", got, errs)
		}
	}
	if PodName("cam-000001", long, true) == PodName("cam-000002", long, true) {
		t.Error("two Instances share a shortened Pod name")
	}
}

func TestPodFacts(t *testing.T) {
	yes := true
	long := strings.Repeat("node.", 30) + "end"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p", UID: "u", Labels: map[string]string{v0.LabelTargetNode: v0.NodeLabel(long)},
			Annotations:     map[string]string{v0.AnnotationSpecHash: "h", AnnotationFailures: `{"x": {"count": 2}, "y": {"count": -1}}`},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "akri.sh/v0", Kind: "Instance", Name: "cam-1", UID: "i", Controller: &yes}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodFailed, Reason: "UnexpectedAdmissionError", Message: "slot taken",
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(t0)}},
		},
	}
	f := podFacts(pod, []string{"other", long})
	if f.Node != long || f.Owner != "i" || f.SpecHash != "h" || f.Phase != Ended || !f.Denied || !f.Unschedulable.Equal(t0) ||
		!strings.Contains(f.Why, "slot taken") || len(f.Failures) != 1 || f.Failures["x"].Count != 2 {
		t.Errorf("facts = %+v", f)
	}
	for reason, want := range map[string]bool{
		"OutOfakri.sh/cam-1": true, "OutOfcpu": true, "NodeAffinity": true, "TopologyAffinityError": true,
		"Evicted": false, "": false, "NodeShutdown": false, "DeadlineExceeded": false,
	} {
		pod.Status.Reason = reason
		if got := podFacts(pod, nil).Denied; got != want {
			t.Errorf("reason %q: denied %t, want %t", reason, got, want)
		}
	}
	// Any user may make a Pod like this.
	bare := podFacts(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v0.LabelConfiguration: "cam"}}}, nil)
	if bare.Owner != "" || bare.Node != "" {
		t.Errorf("facts of a Pod without anything: %+v", bare)
	}
}

func FuzzParseTemplate(f *testing.F) {
	f.Add([]byte(`{"containers":[{"name":"a","resources":{"limits":{"{{PLACEHOLDER}}":"1"}}}],"affinity":{}}`))
	f.Add([]byte(`{"containers":[{"resources":null}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[]},null]}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tmpl, err := ParseTemplate(raw)
		if err != nil {
			return
		}
		pod, err := tmpl.Pod(instance("cam-1", true, "a"), "a", nil)
		if err != nil {
			t.Fatalf("an accepted template makes no Pod: %v", err)
		}
		if _, err := pod.MarshalJSON(); err != nil {
			t.Fatalf("encode: %v", err)
		}
	})
}

func FuzzDecodeHistory(f *testing.F) {
	f.Add(`{"a":{"count":3,"last":"2026-03-01T12:00:00Z","pod":"u"}}`)
	f.Add(`{"a":{"count":-1}}`)
	f.Fuzz(func(t *testing.T, s string) {
		h, err := decodeHistory(s)
		if err != nil {
			return
		}
		m := History{}
		m.merge(h, t0)
		for n, f := range m {
			if w := f.wait(t0); w > maxDelay {
				t.Errorf("node %q waits %s", n, w)
			}
		}
		m.encode()
	})
}
