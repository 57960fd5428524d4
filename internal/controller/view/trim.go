package view

import (
	"cmp"
	"maps"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/shorten"
)

// trim is the cache's transform. It trims each object in place before it is
// stored; objects of unknown types stay as they are.
func trim(obj any) (any, error) {
	switch o := obj.(type) {
	case *corev1.Pod:
		trimMeta(o)
		o.Spec = trimPodSpec(&o.Spec)
		o.Status = trimPodStatus(&o.Status)
	case *corev1.Service:
		trimMeta(o)
		o.Spec = corev1.ServiceSpec{Selector: o.Spec.Selector}
		o.Status = corev1.ServiceStatus{}
	case *batchv1.Job:
		trimMeta(o)
		o.Spec = batchv1.JobSpec{}
	case *corev1.Node:
		trimMeta(o)
		o.Labels = nil
		o.Spec = corev1.NodeSpec{Unschedulable: o.Spec.Unschedulable}
		o.Status = trimNodeStatus(&o.Status)
	case *v0.Instance:
		id := o.Annotations[v0.AnnotationDeviceID]
		// An object from the cache has the annotation already.
		name := cmp.Or(o.Annotations[deviceNote], deviceName(o.Spec.BrokerProperties, id))
		at := o.Spec.BrokerProperties[devPath]
		trimMeta(o)
		if id != "" {
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, v0.AnnotationDeviceID, brief(id))
		}
		if name != "" {
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, deviceNote, name)
		}
		o.Spec.BrokerProperties = nil
		if at != "" {
			o.Spec.BrokerProperties = map[string]string{devPath: brief(at)}
		}
	case *v0.Configuration:
		trimMeta(o)
		o.Spec.DiscoveryHandler.DiscoveryDetails = DiscoveryDigest(o.Spec.DiscoveryHandler)
		o.Spec.DiscoveryHandler.DiscoveryProperties = nil
	}
	return obj, nil
}

// deviceNote is what the cache keeps in place of an Instance's properties. The
// API server would not accept it as the name of an annotation.
const deviceNote = v0.ResourcePrefix + "/device (cache)"

// DeviceName returns what a person would call the device of an Instance from
// the cache.
func DeviceName(inst *v0.Instance) string { return inst.Annotations[deviceNote] }

// trimMeta keeps only our own annotations, and no managed fields.
func trimMeta(o metav1.Object) {
	o.SetManagedFields(nil)
	notes := o.GetAnnotations()
	maps.DeleteFunc(notes, func(k, _ string) bool {
		return !strings.HasPrefix(k, v0.ResourcePrefix+"/") || k == v0.AnnotationDeviceID
	})
	if len(notes) == 0 {
		notes = nil
	}
	o.SetAnnotations(notes)
}

func trimPodSpec(s *corev1.PodSpec) corev1.PodSpec {
	return corev1.PodSpec{
		NodeName:       s.NodeName,
		Containers:     trimContainers(s.Containers),
		InitContainers: trimContainers(s.InitContainers),
	}
}

func trimContainers(list []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range list {
		requests := akriOnly(list[i].Resources.Requests)
		if requests == nil {
			continue
		}
		out = append(out, corev1.Container{
			RestartPolicy: list[i].RestartPolicy,
			Resources:     corev1.ResourceRequirements{Requests: requests},
		})
	}
	return out
}

// akriOnly keeps the resources of our prefix.
func akriOnly(list corev1.ResourceList) corev1.ResourceList {
	var out corev1.ResourceList
	for name, q := range list {
		if strings.HasPrefix(string(name), v0.ResourcePrefix+"/") {
			if out == nil {
				out = corev1.ResourceList{}
			}
			out[name] = q
		}
	}
	return out
}

func trimPodStatus(s *corev1.PodStatus) corev1.PodStatus {
	out := corev1.PodStatus{
		Phase: s.Phase, StartTime: s.StartTime,
		InitContainerStatuses: trimStatuses(s.InitContainerStatuses),
		ContainerStatuses:     trimStatuses(s.ContainerStatuses),
	}
	if s.Phase == corev1.PodFailed || s.Phase == corev1.PodSucceeded {
		out.Reason, out.Message = s.Reason, s.Message
	}
	for _, c := range s.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			if c.Type == corev1.PodReady || c.Status == corev1.ConditionTrue {
				c.Message = ""
			}
			c.Message = shorten.Text(c.Message, maxMessageBytes)
			out.Conditions = append(out.Conditions, c)
		}
	}
	return out
}

// trimStatuses keeps how containers are doing.
func trimStatuses(list []corev1.ContainerStatus) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for i := range list {
		s := &list[i]
		kept := corev1.ContainerStatus{Name: s.Name, RestartCount: s.RestartCount, State: s.State}
		if w := s.State.Waiting; w != nil {
			kept.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason, Message: shorten.Text(w.Message, maxMessageBytes)}
		}
		if t := s.State.Terminated; t != nil {
			kept.State.Terminated = &corev1.ContainerStateTerminated{
				ExitCode: t.ExitCode, Signal: t.Signal, Reason: t.Reason, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt,
			}
		}
		if t := s.LastTerminationState.Terminated; t != nil {
			kept.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: t.ExitCode, Reason: t.Reason}
		}
		out = append(out, kept)
	}
	return out
}

// maxMessageBytes is how much is kept of other programs' messages.
const maxMessageBytes = 300

func trimNodeStatus(s *corev1.NodeStatus) corev1.NodeStatus {
	out := corev1.NodeStatus{Capacity: akriOnly(s.Capacity), Allocatable: akriOnly(s.Allocatable)}
	for _, c := range s.Conditions {
		if c.Type == corev1.NodeReady {
			out.Conditions = append(out.Conditions, corev1.NodeCondition{
				Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			})
		}
	}
	return out
}
