package broker

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/internal/workload"
	"github.com/akri-go/akri/internal/workload/health"
)

// maxWhyBytes bounds what is quoted from other programs' messages.
const maxWhyBytes = 300

// instanceFacts reads what Plan needs from an Instance.
func instanceFacts(inst *v0.Instance) *Instance {
	f := &Instance{
		Name:     inst.Name,
		UID:      inst.UID,
		Shared:   inst.Spec.Shared,
		Capacity: inst.Spec.Capacity,
		Nodes:    inst.Spec.Nodes,
		Offline:  map[string]bool{},
		Deleting: inst.DeletionTimestamp != nil,
	}
	for _, n := range inst.Status.Nodes {
		if n.State == v0.DeviceOffline {
			f.Offline[n.Name] = true
		}
		for _, slot := range n.Outdated {
			if f.Outdated == nil {
				f.Outdated = map[string]map[types.UID]string{}
			}
			if f.Outdated[n.Name] == nil {
				f.Outdated[n.Name] = map[types.UID]string{}
			}
			f.Outdated[n.Name][types.UID(slot.PodUID)] = slot.Change
		}
	}
	for id, value := range inst.Spec.DeviceUsage {
		if _, ok := v0.SlotIndex(inst.Name, id); !ok {
			continue // not one of its slots
		}
		u, err := v0.ParseUsage(value)
		if err != nil {
			f.Usage = append(f.Usage, v0.Usage{}) // held by somebody unknown
			continue
		}
		if !u.Free() {
			f.Usage = append(f.Usage, u)
		}
	}
	return f
}

// podFacts reads what Plan needs from a broker Pod. Nodes are the Instance's: a
// label may hold only a shortened name.
func podFacts(pod *corev1.Pod, nodes []string) Pod {
	f := Pod{
		Name:        pod.Name,
		UID:         pod.UID,
		Version:     pod.ResourceVersion,
		Node:        podNode(pod, nodes),
		SpecHash:    pod.Annotations[v0.AnnotationSpecHash],
		Created:     pod.CreationTimestamp.Time,
		Bound:       pod.Spec.NodeName != "",
		RunsOn:      pod.Spec.NodeName,
		Terminating: pod.DeletionTimestamp != nil,
	}
	if ref := workload.OwnerInstance(pod); ref != nil {
		f.Owner = ref.UID
		f.Quantity = workload.Quantity(&pod.Spec, corev1.ResourceName(v0.ResourceName(ref.Name)))
	}
	// What cannot be read is ignored: the count starts again.
	f.Failures, _ = decodeHistory(pod.Annotations[AnnotationFailures])
	if pod.Status.StartTime != nil {
		f.Started = pod.Status.StartTime.Time
	}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			f.Ready = c.Status == corev1.ConditionTrue
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable:
			f.Unschedulable = c.LastTransitionTime.Time
			if f.Unschedulable.IsZero() {
				f.Unschedulable = f.Created
			}
		}
	}
	switch pod.Status.Phase {
	case corev1.PodRunning:
		f.Phase = Running
	case corev1.PodFailed, corev1.PodSucceeded:
		f.Phase = Ended
		f.Denied = health.Denied(pod)
		f.EndedAt = endedAt(pod)
		f.Why = why(pod)
	}
	return f
}

// podNode returns the node that a Pod was made for.
func podNode(pod *corev1.Pod, nodes []string) string {
	label := pod.Labels[v0.LabelTargetNode]
	if label == "" {
		return pod.Spec.NodeName
	}
	for _, n := range nodes {
		if v0.NodeLabel(n) == label {
			return n
		}
	}
	return label
}

// endedAt returns when the Pod ended, as far as that is known.
func endedAt(pod *corev1.Pod) time.Time {
	var at time.Time
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && t.FinishedAt.After(at) {
			at = t.FinishedAt.Time
		}
	}
	if !at.IsZero() {
		return at
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.LastTransitionTime.After(at) {
			at = c.LastTransitionTime.Time
		}
	}
	if at.IsZero() && pod.Status.StartTime != nil {
		at = pod.Status.StartTime.Time
	}
	return at
}

// why says why a Pod ended, for people.
func why(pod *corev1.Pod) string {
	parts := []string{strings.ToLower(string(pod.Status.Phase))}
	if pod.Status.Reason != "" {
		parts = append(parts, pod.Status.Reason)
	}
	if pod.Status.Message != "" {
		parts = append(parts, pod.Status.Message)
	}
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil {
			s := fmt.Sprintf("container %s exit code %d", c.Name, t.ExitCode)
			if t.Reason != "" {
				s += " (" + t.Reason + ")"
			}
			parts = append(parts, s)
		}
	}
	return shorten.Text(strings.Join(parts, ", "), maxWhyBytes)
}
