package outdated

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

func TestPlan(t *testing.T) {
	inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cam-00000a", UID: "i"}}
	inst.Spec.ConfigurationName = "cam"
	other := inst.DeepCopy()
	other.UID = "another"
	slot := v0.OutdatedSlot{Slot: "cam-00000a-0", PodUID: "u", PodNamespace: "ns", PodName: "p"}
	wants := func(name string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{
			corev1.ResourceName(name): resource.MustParse("1"),
		}}}
	}
	annotated := func(p *corev1.Pod) { p.Annotations = map[string]string{v0.AnnotationEvictOnChange: "true"} }
	for _, tt := range []struct {
		name   string
		change func(*corev1.Pod, *v0.InstanceNode)
		want   Decision
	}{
		{"a user's", func(*corev1.Pod, *v0.InstanceNode) {}, Tell},
		{"by the Configuration's resource", func(p *corev1.Pod, _ *v0.InstanceNode) { p.Spec.Containers[0] = wants("akri.sh/cam") }, Tell},
		{"in an init container", func(p *corev1.Pod, _ *v0.InstanceNode) {
			p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers, []corev1.Container{{}}
		}, Tell},
		{"asks to be evicted", func(p *corev1.Pod, _ *v0.InstanceNode) { annotated(p) }, Evict},
		{"asks for something else", func(p *corev1.Pod, _ *v0.InstanceNode) {
			p.Annotations = map[string]string{v0.AnnotationEvictOnChange: "no"}
		}, Tell},
		{"the device is away", func(p *corev1.Pod, n *v0.InstanceNode) { annotated(p); n.State = v0.DeviceOffline }, Tell},
		{"a broker of another Instance", func(p *corev1.Pod, _ *v0.InstanceNode) {
			annotated(p)
			p.OwnerReferences = []metav1.OwnerReference{workload.OwnerRef(other)}
		}, Evict},

		{"a broker", func(p *corev1.Pod, _ *v0.InstanceNode) {
			annotated(p)
			p.OwnerReferences = []metav1.OwnerReference{workload.OwnerRef(inst)}
		}, Ignore},
		{"another Pod by now", func(p *corev1.Pod, _ *v0.InstanceNode) { annotated(p); p.UID = "v" }, Ignore},
		{"on a node that the agent cannot speak of", func(p *corev1.Pod, _ *v0.InstanceNode) { annotated(p); p.Spec.NodeName = "b" }, Ignore},
		{"has nothing to do with the device", func(p *corev1.Pod, _ *v0.InstanceNode) {
			annotated(p)
			p.Spec.Containers[0] = wants("akri.sh/cam-00000b")
		}, Ignore},
		{"about to go", func(p *corev1.Pod, _ *v0.InstanceNode) { annotated(p); p.DeletionTimestamp = &metav1.Time{} }, Ignore},
		{"ended", func(p *corev1.Pod, _ *v0.InstanceNode) { annotated(p); p.Status.Phase = corev1.PodSucceeded }, Ignore},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u"},
				Spec:       corev1.PodSpec{NodeName: "a", Containers: []corev1.Container{wants("akri.sh/cam-00000a")}},
			}
			node := v0.InstanceNode{Name: "a", State: v0.DeviceOnline}
			tt.change(pod, &node)
			if got := Plan(inst, node, slot, pod); got != tt.want {
				t.Errorf("decision %v, want %v", got, tt.want)
			}
		})
	}
}
