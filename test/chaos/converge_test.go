//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/chaos/history"
	"github.com/akri-go/akri/test/testcluster"
)

// converged complains until the cluster is as it should be: exactly the
// Instances of the present devices, their brokers and users at work, all parts
// of the release ready. With settled, deviceUsage is what the kubelets say,
// which takes as long as a slot stays claimed after its use.
func (w *fixture) converged(settled bool) testcluster.Check {
	return func(ctx context.Context) error {
		ours, err := ourPods(ctx, "")
		if err != nil {
			return err
		}
		for _, p := range ours {
			if !testcluster.IsReady(&p) {
				return fmt.Errorf("%s on %s is not ready", p.Name, p.Spec.NodeName)
			}
		}
		var instances v0.InstanceList
		var pods corev1.PodList
		var jobs batchv1.JobList
		for _, list := range []client.ObjectList{&instances, &pods, &jobs} {
			if err := bed.API.List(ctx, list, client.InNamespace(w.ns)); err != nil {
				return err
			}
		}
		if err := w.asExpected(instances.Items); err != nil {
			return err
		}
		holds := map[string]map[string]history.Hold{} // by slot, by node
		for _, n := range bothNodes() {
			all, err := holdsOf(ctx, n)
			if err != nil {
				return err
			}
			for _, h := range all {
				if holds[h.Slot] == nil {
					holds[h.Slot] = map[string]history.Hold{}
				}
				holds[h.Slot][devcluster.NodeName(n)] = h
			}
		}
		if err := sameJobs(instances.Items, jobs.Items); err != nil {
			return err
		}
		if err := w.atWork(instances.Items, pods.Items, holds); err != nil {
			return err
		}
		for _, i := range instances.Items {
			if err := sameUsage(&i, holds, settled); err != nil {
				return err
			}
		}
		return nil
	}
}

// asExpected complains unless there is an Instance for each device, with its
// nodes, and no other, except shared ones of which a slot is held.
func (w *fixture) asExpected(instances []v0.Instance) error {
	var want, have []string
	for d, on := range w.there {
		var nodes []string
		for n := range on {
			nodes = append(nodes, devcluster.NodeName(n))
		}
		slices.Sort(nodes)
		if d.Shared {
			want = append(want, fmt.Sprint(d, nodes))
			continue
		}
		for _, n := range nodes {
			want = append(want, fmt.Sprint(d, []string{n}))
		}
	}
	for _, i := range instances {
		if i.Spec.Shared && len(i.Spec.Nodes) == 0 && len(usageOf(&i)) > 0 {
			continue
		}
		d := history.Device{Configuration: i.Spec.ConfigurationName, ID: i.Annotations[v0.AnnotationDeviceID], Shared: i.Spec.Shared}
		have = append(have, fmt.Sprint(d, slices.Sorted(slices.Values(i.Spec.Nodes))))
		for _, n := range i.Status.Nodes {
			if n.State == v0.DeviceOffline {
				return fmt.Errorf("%s is offline on %s: %s", i.Name, n.Name, n.Message)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		return fmt.Errorf("Instances of\n %s\nwant\n %s", strings.Join(have, "\n "), strings.Join(want, "\n "))
	}
	return nil
}

// atWork complains unless each Instance has the brokers that its slots and nodes
// allow, each Configuration its other users, and each of them a slot.
func (w *fixture) atWork(instances []v0.Instance, pods []corev1.Pod, holds map[string]map[string]history.Hold) error {
	has := map[string]bool{}
	for _, on := range holds {
		for _, h := range on {
			has[h.Pod] = true
		}
	}
	brokers := map[string]bool{}
	ready := map[string]int{}
	users := map[string]int32{}
	for _, p := range pods {
		instance, configuration := p.Labels[v0.LabelInstance], p.Labels["users-of"]
		if instance != "" {
			brokers[p.Namespace+"/"+p.Name] = true
		} else if p.Status.Phase == corev1.PodFailed && p.DeletionTimestamp == nil {
			continue // its ReplicaSet has made another
		}
		if !testcluster.IsReady(&p) {
			return fmt.Errorf("%s on %s is not at work: %s %s %s, deleted %v", p.Name, p.Spec.NodeName, p.Status.Phase, p.Status.Reason, p.Status.Message, p.DeletionTimestamp)
		}
		if !has[p.Namespace+"/"+p.Name] {
			return fmt.Errorf("%s runs on %s, and the kubelet knows of no slot that it has", p.Name, p.Spec.NodeName)
		}
		ready[instance]++
		users[configuration]++
	}
	for _, name := range slices.Sorted(maps.Keys(w.users)) {
		if users[name] != w.users[name] {
			return fmt.Errorf("%d users of %s, want %d", users[name], name, w.users[name])
		}
	}
	for _, i := range instances {
		if i.Spec.ConfigurationName == localName {
			continue
		}
		others := 0
		for n := range int(i.Spec.Capacity) {
			for _, h := range holds[v0.SlotID(i.Name, n)] {
				if !brokers[h.Pod] {
					others++
				}
			}
		}
		want := max(0, min(int(i.Spec.Capacity)-others, len(i.Spec.Nodes)))
		if ready[i.Name] != want {
			return fmt.Errorf("%d brokers of %s, want %d: it has %d slots, %d with others, on %v",
				ready[i.Name], i.Name, want, i.Spec.Capacity, others, i.Spec.Nodes)
		}
	}
	return nil
}

// sameJobs complains unless each Instance that is to have one has a Job.
func sameJobs(instances []v0.Instance, jobs []batchv1.Job) error {
	want := map[types.UID]string{}
	for _, i := range instances {
		if i.Spec.ConfigurationName == localName {
			want[i.UID] = i.Name
		}
	}
	for _, j := range jobs {
		owner := metav1.GetControllerOf(&j)
		if owner == nil || want[owner.UID] == "" {
			return fmt.Errorf("Job %s is of no Instance, or not the only one", j.Name)
		}
		delete(want, owner.UID)
	}
	if len(want) > 0 {
		return fmt.Errorf("there are no Jobs of %v", slices.Sorted(maps.Values(want)))
	}
	return nil
}

// sameUsage compares deviceUsage with what the kubelets say.
func sameUsage(i *v0.Instance, holds map[string]map[string]history.Hold, settled bool) error {
	usage := usageOf(i)
	for n := range int(i.Spec.Capacity) {
		slot := v0.SlotID(i.Name, n)
		for node, h := range holds[slot] {
			u := usage[slot]
			door := v0.DoorInstance
			if h.Resource == v0.ResourceName(i.Spec.ConfigurationName) {
				door = v0.DoorConfiguration
			}
			if u.Node != node || u.Door != door {
				return fmt.Errorf("%s has %s as %s on %s, deviceUsage says %q", h.Pod, slot, h.Resource, node, u)
			}
		}
		if settled && len(holds[slot]) == 0 && !usage[slot].Free() {
			return fmt.Errorf("%s is in deviceUsage as %q, and no container has it", slot, usage[slot])
		}
	}
	if settled && len(usage) > int(i.Spec.Capacity) {
		return fmt.Errorf("deviceUsage of %s has too much: %v", i.Name, usage)
	}
	return nil
}
