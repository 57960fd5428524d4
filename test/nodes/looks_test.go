//go:build e2e

package nodes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

// instancesOf returns the Instances of a Configuration, by name.
func (r *record) instancesOf(configuration string) []*v0.Instance {
	list := slices.Collect(maps.Values(r.instances))
	list = slices.DeleteFunc(list, func(i *v0.Instance) bool { return i.Spec.ConfigurationName != configuration })
	return slices.SortedFunc(slices.Values(list), func(a, b *v0.Instance) int { return cmp.Compare(a.Name, b.Name) })
}

// podsOf returns the Pods of a user, which is a Configuration for its brokers,
// by name.
func (r *record) podsOf(name string) []*corev1.Pod {
	list := slices.Collect(maps.Values(r.pods))
	list = slices.DeleteFunc(list, func(p *corev1.Pod) bool { return user(p) != name })
	return slices.SortedFunc(slices.Values(list), func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
}

// user returns who has made a Pod: its Configuration, or the label user.
func user(p *corev1.Pod) string { return cmp.Or(p.Labels[v0.LabelConfiguration], p.Labels["user"]) }

// held returns the holders of an Instance's slots by slot id.
func held(i *v0.Instance) map[string]string {
	holders := map[string]string{}
	for slot, value := range i.Spec.DeviceUsage {
		switch u, err := v0.ParseUsage(value); {
		case err != nil:
			holders[slot] = value
		case !u.Free():
			holders[slot] = u.Node
		}
	}
	return holders
}

// seen complains unless a Configuration has n Instances, each seen by these
// nodes and by no other, in any order.
func (r *record) seen(configuration string, n int, nodes ...string) look {
	return func() error {
		instances := r.instancesOf(configuration)
		if len(instances) != n {
			return fmt.Errorf("%d Instances of %s, want %d", len(instances), configuration, n)
		}
		for _, i := range instances {
			if got := slices.Sorted(slices.Values(i.Spec.Nodes)); !slices.Equal(got, nodes) {
				return fmt.Errorf("nodes of %s are %v, want %v", i.Name, got, nodes)
			}
		}
		return nil
	}
}

// brokers complains unless each Instance has a ready broker on n of the nodes,
// which hold one slot each, and there is no other Pod and no other holder.
func (r *record) brokers(configuration string, n int) look {
	return func() error {
		for _, i := range r.instancesOf(configuration) {
			var ready []string
			for _, p := range r.podsOf(configuration) {
				if p.Labels[v0.LabelInstance] != i.Name {
					continue
				}
				if !testcluster.IsReady(p) {
					return fmt.Errorf("broker %s is not ready: %s", p.Name, state(p))
				}
				ready = append(ready, p.Spec.NodeName)
			}
			slices.Sort(ready)
			holders := slices.Sorted(maps.Values(held(i)))
			if len(ready) != n || len(slices.Compact(slices.Clone(ready))) != n || !slices.Equal(ready, holders) {
				return fmt.Errorf("%s has brokers on %v and its slots are held by %v; want %d brokers", i.Name, ready, i.Spec.DeviceUsage, n)
			}
		}
		return nil
	}
}

// running complains unless n of the users' Pods run, and the others have ended or
// wait because the scheduler finds no room.
func (r *record) running(n int, users ...string) look {
	return func() error {
		var run int
		var states []string
		for _, u := range users {
			for _, p := range r.podsOf(u) {
				states = append(states, p.Name+": "+state(p))
				switch {
				case testcluster.IsReady(p):
					run++
				case p.DeletionTimestamp != nil, p.Status.Phase != corev1.PodFailed && !unschedulable(p):
					return fmt.Errorf("Pod %s has not settled: %s", p.Name, state(p))
				}
			}
		}
		if run != n {
			return fmt.Errorf("%d Pods run, want %d: %s", run, n, strings.Join(states, "; "))
		}
		return nil
	}
}

// waiting complains unless n of the users' Pods wait because the scheduler finds
// no room.
func (r *record) waiting(n int, users ...string) look {
	return func() error {
		wait := 0
		for _, u := range users {
			for _, p := range r.podsOf(u) {
				if unschedulable(p) {
					wait++
				}
			}
		}
		if wait != n {
			return fmt.Errorf("%d Pods wait, want %d", wait, n)
		}
		return nil
	}
}

func unschedulable(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable
	})
}

func state(p *corev1.Pod) string {
	s := fmt.Sprintf("%s on %q %s %s", p.Status.Phase, p.Spec.NodeName, p.Status.Reason, p.Status.Message)
	for _, c := range p.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			s += " " + string(c.Type) + ": " + c.Message
		}
	}
	if p.DeletionTimestamp != nil {
		s += " deleted"
	}
	return s
}

// allocatable complains unless a node has n units of a resource, named without
// its domain, to give and in use.
func (r *record) allocatable(node, resource string, n int64) look {
	return func() error {
		o := r.nodes[node]
		if o == nil {
			return fmt.Errorf("there is no node %s", node)
		}
		q := o.Status.Allocatable[corev1.ResourceName(v0.ResourceName(resource))]
		if q.Value() != n {
			return fmt.Errorf("%s has %d of %s, want %d", node, q.Value(), v0.ResourceName(resource), n)
		}
		return nil
	}
}

// nodeReady complains unless a node is Ready, or is not.
func (r *record) nodeReady(node string, want bool) look {
	return func() error {
		ready := false
		if o := r.nodes[node]; o != nil {
			for _, c := range o.Status.Conditions {
				ready = ready || c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			}
		}
		if ready != want {
			return fmt.Errorf("node %s: Ready is %v, want %v", node, ready, want)
		}
		return nil
	}
}

// capacity complains of more slots held at once than an Instance may have, at
// any time since the record began.
func (r *record) capacity(configuration string, n int) look {
	return func() error {
		for _, i := range r.instancesOf(configuration) {
			if r.most[i.Name] > n {
				return fmt.Errorf("%d slots of %s were held at once, at most %d may be: %v", r.most[i.Name], i.Name, n, i.Spec.DeviceUsage)
			}
		}
		return nil
	}
}

// uids returns those of the Instances and Pods of users.
func (r *record) uids(users ...string) map[string]types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.uidsNow(users)
}

func (r *record) uidsNow(users []string) map[string]types.UID {
	found := map[string]types.UID{}
	add := func(kind string, o metav1.Object) { found[kind+o.GetName()] = o.GetUID() }
	for _, u := range users {
		for _, i := range r.instancesOf(u) {
			add("Instance ", i)
		}
		for _, p := range r.podsOf(u) {
			add("Pod ", p)
		}
	}
	return found
}

// unchanged complains if an Instance or a Pod of the users came, went or was
// made again since before, or one of the Pods' containers was started again.
func (r *record) unchanged(before map[string]types.UID, users ...string) look {
	return func() error {
		if now := r.uidsNow(users); !maps.Equal(before, now) {
			return fmt.Errorf("before there were %v, now %v", before, now)
		}
		for _, u := range users {
			for _, p := range r.podsOf(u) {
				for _, c := range p.Status.ContainerStatuses {
					if c.RestartCount > 0 {
						return fmt.Errorf("Pod %s was started again", p.Name)
					}
				}
			}
		}
		return nil
	}
}
