//go:build integration

package controller_test

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/status"
)

// outdated plays the agent of a node that reports outdated Pods.
func (s *space) outdated(inst *v0.Instance, node string, pods ...corev1.Pod) {
	s.t.Helper()
	s.eventually("status of "+inst.Name, func() error {
		s.get(inst.Name, inst)
		inst.Status.Nodes = nil
		if len(pods) > 0 {
			entry := v0.InstanceNode{Name: node, State: v0.DeviceOnline, Reason: v0.ReasonDeviceChanged}
			for i, p := range pods {
				entry.Outdated = append(entry.Outdated, v0.OutdatedSlot{
					Slot: v0.SlotID(inst.Name, i), PodNamespace: p.Namespace, PodName: p.Name, PodUID: string(p.UID),
					Change: "device node /dev/x1 instead of /dev/x0",
				})
			}
			inst.Status.Nodes = []v0.InstanceNode{entry}
		}
		return s.admin.Status().Update(s.t.Context(), inst)
	})
}

// user makes a user's Pod that holds a slot.
func (s *space) user(name, node, resourceName string, change ...func(*corev1.Pod)) corev1.Pod {
	s.t.Helper()
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name, Labels: map[string]string{"of": "user"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: "i",
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{
				corev1.ResourceName(resourceName): resource.MustParse("1"),
			}},
		}}},
	}
	for _, f := range change {
		f(&pod)
	}
	if err := s.admin.Create(s.t.Context(), &pod); err != nil {
		s.t.Fatal(err)
	}
	s.run(pod, node)
	s.get(name, &pod)
	return pod
}

// A broker whose device has changed under its id is replaced, once, and only if
// the agent of its own node says so.
func testDeviceChanged(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")

	s.outdated(inst, "node-b", pod) // another node's agent
	s.after(conf, "cam-000001")
	s.sameAs(&pod)

	s.outdated(inst, "node-a", pod)
	s.kill(pod)
	next := s.pod("cam-4294ea-pod", pod)
	e := s.event("cam-4294ea", "DeviceChanged")
	if !strings.Contains(e.Note, "device node /dev/x1 instead of /dev/x0") {
		s.t.Errorf("the Event does not say why: %s", e.Note)
	}
	// The agent is slow to take it back; the new Pod is another.
	s.run(next, "node-a")
	s.after(conf, "cam-000002")
	s.sameAs(&next)
	s.outdated(inst, "node-a")
}

// Users' Pods get an Event but are left alone, or are evicted if annotated so.
func testUsersDeviceChanged(s *space) {
	conf := s.configuration("cam", "capacity: 5\n")
	inst := s.instance(conf, "cam-4294ea", 5, false, "node-a")
	evict := func(p *corev1.Pod) { p.Annotations = map[string]string{v0.AnnotationEvictOnChange: "true"} }
	stays := s.user("stays", "node-a", "akri.sh/cam-4294ea")
	goes := s.user("goes", "node-a", "akri.sh/cam", evict)
	stranger := s.user("stranger", "node-a", "akri.sh/other", evict)
	elsewhere := s.user("elsewhere", "node-b", "akri.sh/cam", evict)
	guarded := s.user("guarded", "node-a", "akri.sh/cam", evict, func(p *corev1.Pod) { p.Labels["of"] = "budget" })
	none := intstr.FromInt32(0)
	if err := s.admin.Create(s.t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "budget"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &none, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"of": "budget"}},
		},
	}); err != nil {
		s.t.Fatal(err)
	}

	s.outdated(inst, "node-a", stays, goes, stranger, elsewhere, guarded)
	s.kill(goes)
	if e := s.event("stays", "DeviceChanged"); !strings.Contains(e.Note, v0.AnnotationEvictOnChange) {
		s.t.Errorf("the Event does not say what to do: %s", e.Note)
	}
	s.event("guarded", "DeviceChanged")
	s.sameAs(&stays)
	s.sameAs(&stranger)
	s.sameAs(&elsewhere)
	s.sameAs(&guarded)
	s.eventually("condition", func() error {
		s.get(inst.Name, inst)
		c := meta.FindStatusCondition(inst.Status.Conditions, status.PodsCurrent)
		if c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, s.ns+"/stays on node node-a") {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
	s.outdated(inst, "node-a")
	s.eventually("condition", func() error {
		s.get(inst.Name, inst)
		if !meta.IsStatusConditionTrue(inst.Status.Conditions, status.PodsCurrent) {
			return errors.New("Pods are not said to be current")
		}
		return nil
	})
}
