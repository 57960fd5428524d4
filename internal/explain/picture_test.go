package explain

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// What is worst about each thing, and what follows from no other.
func TestPicture(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Cluster)
		worst  map[Subject]Cause
		roots  int
	}{
		{"all is well", func(*Cluster) {}, map[Subject]Cause{}, 0},
		{"a node is lost", func(c *Cluster) { c.Nodes[0].Status.Conditions[0].Status = corev1.ConditionUnknown }, map[Subject]Cause{
			{Node, "", "n1"}: NodeNotReady, {Device, "default", "cam-000001"}: DeviceUnknown, {Pod, "default", "cam-000001-pod"}: PodNotReady}, 1},
		{"a broker crashes", func(c *Cluster) { crashes(c.podOf("cam-000001-pod"), 3, "Error") },
			map[Subject]Cause{{Pod, "default", "cam-000001-pod"}: Crashing}, 1},
		{"a slot is held, which is no fault", func(c *Cluster) { c.Configurations[0].Spec.BrokerSpec = nil }, map[Subject]Cause{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := well()
			tt.change(c)
			e := Explain(*c)
			worst := map[Subject]Cause{}
			for s, f := range e.Worst() {
				worst[s] = f.Cause
			}
			if d := cmp.Diff(tt.worst, worst); d != "" {
				t.Error(d)
			}
			first, all := e.Root(10)
			if all != tt.roots || len(first) != tt.roots {
				t.Errorf("%d roots, %s", all, brief(first))
			}
			if few, all := e.Root(0); len(few) > 0 || all != tt.roots {
				t.Errorf("of %d, %d are returned, none is wanted", all, len(few))
			}
		})
	}
}

func TestHolders(t *testing.T) {
	c := well()
	inst := &c.Instances[0]
	inst.Spec.Capacity = 4
	inst.Spec.DeviceUsage = map[string]string{"cam-000001-0": "n1", "cam-000001-1": "C:cam-000001-1:n2", "cam-000001-2": "", "cam-000001-3": "::", "other-0": "n1"}
	c.user("viewer", "n2", "cam", 1)
	want := []Holder{
		{Slot: "cam-000001-0", Node: "n1", Pods: []Subject{{Pod, "default", "cam-000001-pod"}}},
		{Slot: "cam-000001-1", Node: "n2", Pods: []Subject{{Pod, "default", "viewer"}}},
	}
	if d := cmp.Diff(want, Explain(*c).Holders(inst)); d != "" {
		t.Error(d)
	}
}
