package broker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

func instance(name string, shared bool, nodes ...string) *v0.Instance {
	return &v0.Instance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: owner},
		Spec:       v0.InstanceSpec{ConfigurationName: "cam", Capacity: 1, Shared: shared, Nodes: nodes},
	}
}

// Only slots that an Instance can have count as held.
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
	// A value that cannot be read counts as held by somebody. A slot beyond the
	// capacity is from when the capacity was larger.
	if d := cmp.Diff(map[string]int{"a": 1, "b": 2, "": 1}, held); d != "" {
		t.Errorf("slots held (-want +got):\n%s", d)
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

// What is recorded on a Pod is read back from it.
func TestRecord(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"other": "x"}}}
	History(nil).record(pod)
	if len(pod.Annotations) != 1 {
		t.Errorf("without failures: %v", pod.Annotations)
	}
	want := History{"a": {Count: 2, Last: t0, Pod: "u"}}
	want.record(pod)
	if d := cmp.Diff(want, podFacts(pod, nil).Failures); d != "" || pod.Annotations["other"] != "x" {
		t.Errorf("failures (-want +got):\n%s; annotations %v", d, pod.Annotations)
	}
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
