package outdated

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// Decision is what to do about one Pod that an agent calls outdated.
type Decision int

const (
	// Ignore it: it is gone, being deleted, a broker, or not the agent's to
	// report.
	Ignore Decision = iota
	// Tell its user.
	Tell
	// Evict it, and tell its user.
	Evict
)

// Plan decides about a Pod that node reports as outdated.
func Plan(inst *v0.Instance, node v0.InstanceNode, slot v0.OutdatedSlot, pod *corev1.Pod) Decision {
	ref := workload.OwnerInstance(pod)
	switch {
	case string(pod.UID) != slot.PodUID, pod.Spec.NodeName != node.Name,
		pod.DeletionTimestamp != nil,
		pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed,
		ref != nil && ref.UID == inst.UID,
		!asksFor(&pod.Spec, v0.ResourceName(inst.Name), v0.ResourceName(inst.Spec.ConfigurationName)):
		return Ignore
	case node.State == v0.DeviceOffline:
		return Tell // its replacement would find no device
	case pod.Annotations[v0.AnnotationEvictOnChange] == "true":
		return Evict
	default:
		return Tell
	}
}

// asksFor reports whether a container of a Pod requests one of the resources.
func asksFor(spec *corev1.PodSpec, resources ...string) bool {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			for _, r := range resources {
				name := corev1.ResourceName(r)
				request, limit := list[i].Resources.Requests[name], list[i].Resources.Limits[name]
				if !request.IsZero() || !limit.IsZero() {
					return true
				}
			}
		}
	}
	return false
}

// note is what the user of a Pod is told.
func note(inst *v0.Instance, slot v0.OutdatedSlot, evict bool) string {
	var b strings.Builder
	b.WriteString("the device of Instance " + inst.Name + " has changed since this Pod got it: " + slot.Change + "; ")
	if evict {
		b.WriteString("the Pod is evicted, as its annotation " + v0.AnnotationEvictOnChange + " says")
	} else {
		b.WriteString("only a new Pod gets the device as it is now: delete this one, or annotate such Pods with " +
			v0.AnnotationEvictOnChange + `: "true", so that they are evicted`)
	}
	return b.String()
}
