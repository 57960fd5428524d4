package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestTrimPod(t *testing.T) {
	yes := true
	always := corev1.ContainerRestartPolicyAlways
	one := resource.MustParse("1")
	owner := []metav1.OwnerReference{{APIVersion: "akri.sh/v0", Kind: "Instance", Name: "i", UID: "u", Controller: &yes}}
	got, err := trim(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p", Labels: map[string]string{"a": "b"}, OwnerReferences: owner,
			Annotations:   map[string]string{"akri.sh/broker-spec-hash": "h", "other": strings.Repeat("x", 1000)},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
		},
		Spec: corev1.PodSpec{
			NodeName: "n",
			Volumes:  []corev1.Volume{{Name: "v"}},
			Containers: []corev1.Container{{Name: "a", Env: []corev1.EnvVar{{Name: "e"}}, Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"akri.sh/i": one, "cpu": one}}}, {Name: "b"}},
			InitContainers: []corev1.Container{{RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"akri.sh/i": one}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodFailed, Reason: "r", PodIP: "1.2.3.4",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Message: "long"}, {Type: "Other"}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "a", Image: "i", State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "long"}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p", Labels: map[string]string{"a": "b"}, OwnerReferences: owner,
			Annotations: map[string]string{"akri.sh/broker-spec-hash": "h"},
		},
		Spec: corev1.PodSpec{
			NodeName:       "n",
			Containers:     []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"akri.sh/i": one}}}},
			InitContainers: []corev1.Container{{RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"akri.sh/i": one}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodFailed, Reason: "r",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "a", State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("trimmed Pod (-want +got):\n%s", d)
	}
	if again, _ := trim(want.DeepCopy()); !cmp.Equal(want, again) {
		t.Error("a trimmed Pod changes when it is trimmed again")
	}
}

// The cache keeps why a broker does not run, and what a device is called.
func TestTrimKeepsWhy(t *testing.T) {
	got, err := trim(&corev1.Pod{Status: corev1.PodStatus{
		Phase:      corev1.PodPending,
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: strings.Repeat("x", 5000)}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "c", ImageID: "long", RestartCount: 3,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: strings.Repeat("x", 5000)}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Message: "long"}},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	st := got.(*corev1.Pod).Status
	c := st.ContainerStatuses[0]
	if c.State.Waiting.Reason != "CrashLoopBackOff" || len(c.State.Waiting.Message) > 310 || c.RestartCount != 3 || c.ImageID != "" ||
		c.LastTerminationState.Terminated.ExitCode != 3 || c.LastTerminationState.Terminated.Message != "" || len(st.Conditions[0].Message) > 310 {
		t.Errorf("kept %+v", st)
	}
	for _, tt := range []struct {
		properties map[string]string
		id, want   string
	}{
		{map[string]string{"UDEV_DEVNODE": "/dev/video0", "A": "b"}, "/sys/x", "/dev/video0"},
		{nil, "foo1", "foo1"},
		{nil, strings.Repeat("ü", 100) + "/video0", "…" + strings.Repeat("ü", 27) + "/video0"},
		{nil, "", ""},
	} {
		inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v0.AnnotationDeviceID: tt.id, "other": "x"}}}
		inst.Spec.BrokerProperties = tt.properties
		for range 2 { // the second time changes nothing
			if _, err := trim(inst); err != nil {
				t.Fatal(err)
			}
			if name := DeviceName(inst); name != tt.want || inst.Spec.BrokerProperties != nil {
				t.Errorf("%v of %q is called %q, want %q; %+v", tt.properties, tt.id, name, tt.want, inst)
			}
		}
	}
}

// Unknown objects, such as tombstones, pass unchanged.
func TestTrimUnknown(t *testing.T) {
	for _, o := range []any{nil, "text", struct{}{}, &corev1.ConfigMap{}, &corev1.Pod{}, &corev1.Node{}, &v0.Instance{}, &v0.Configuration{}} {
		if _, err := trim(o); err != nil {
			t.Errorf("%T: %v", o, err)
		}
	}
}

func TestNodeUsable(t *testing.T) {
	node := func(status corev1.ConditionStatus, cordoned bool) *corev1.Node {
		return &corev1.Node{
			Spec:   corev1.NodeSpec{Unschedulable: cordoned},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}},
		}
	}
	for _, tt := range []struct {
		node *corev1.Node
		want bool
	}{
		{node(corev1.ConditionTrue, false), true},
		{node(corev1.ConditionTrue, true), false},
		{node(corev1.ConditionFalse, false), false},
		{node(corev1.ConditionUnknown, false), false},
		{&corev1.Node{}, false},
	} {
		if got := NodeUsable(tt.node); got != tt.want {
			t.Errorf("%+v: %t, want %t", tt.node, got, tt.want)
		}
	}
}

func TestNodesOf(t *testing.T) {
	inst := &v0.Instance{
		Spec: v0.InstanceSpec{
			Nodes:       []string{"b", "a"},
			DeviceUsage: map[string]string{"i-0": "C:i-0:c", "i-1": "a", "i-2": "", "i-3": "C:what"},
		},
		Status: v0.InstanceStatus{Nodes: []v0.InstanceNode{{Name: "d"}, {Name: "b"}}},
	}
	if got := NodesOf(inst); !cmp.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("have %v", got)
	}
	if !cmp.Equal(inst.Spec.Nodes, []string{"b", "a"}) {
		t.Error("it changed the Instance")
	}
}
