package explain

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// view is a Cluster with indexes, and the findings so far.
type view struct {
	Cluster
	unseen map[string]bool

	configurations map[types.NamespacedName]*v0.Configuration
	instances      map[types.NamespacedName]*v0.Instance
	// byConfiguration and byNode have Instances.
	byConfiguration map[types.NamespacedName][]*v0.Instance
	byNode          map[string][]*v0.Instance
	nodes           map[string]*corev1.Node
	// agents and handlers are Pods of the release by node.
	agents   map[string]*corev1.Pod
	handlers map[string][]*corev1.Pod
	// brokers are Pods by their Instance, users by the resource that they ask
	// for, without those that have ended.
	brokers map[types.NamespacedName][]*corev1.Pod
	users   map[string][]*corev1.Pod
	jobs    map[types.NamespacedName][]*batchv1.Job
	leases  map[string]*coordinationv1.Lease
	events  map[Subject][]Event
	// agentSets and handlerSets are the DaemonSets.
	agentSets   []*appsv1.DaemonSet
	handlerSets []*appsv1.DaemonSet
	controllers []*appsv1.Deployment

	found []Finding
	known map[Ref]bool // of found
}

func newView(c Cluster) *view {
	v := &view{
		Cluster: c, unseen: map[string]bool{}, known: map[Ref]bool{},
		configurations:  map[types.NamespacedName]*v0.Configuration{},
		instances:       map[types.NamespacedName]*v0.Instance{},
		byConfiguration: map[types.NamespacedName][]*v0.Instance{},
		byNode:          map[string][]*v0.Instance{},
		nodes:           map[string]*corev1.Node{},
		agents:          map[string]*corev1.Pod{},
		handlers:        map[string][]*corev1.Pod{},
		brokers:         map[types.NamespacedName][]*corev1.Pod{},
		users:           map[string][]*corev1.Pod{},
		jobs:            map[types.NamespacedName][]*batchv1.Job{},
		leases:          map[string]*coordinationv1.Lease{},
		events:          map[Subject][]Event{},
	}
	for _, u := range c.Unseen {
		v.unseen[u.What] = true
	}
	for i := range c.Configurations {
		v.configurations[keyOf(&c.Configurations[i])] = &c.Configurations[i]
	}
	for i := range c.Instances {
		inst := &c.Instances[i]
		v.instances[keyOf(inst)] = inst
		of := types.NamespacedName{Namespace: inst.Namespace, Name: inst.Spec.ConfigurationName}
		v.byConfiguration[of] = append(v.byConfiguration[of], inst)
		for _, n := range nodesOf(inst) {
			v.byNode[n] = append(v.byNode[n], inst)
		}
	}
	for i := range c.Nodes {
		v.nodes[c.Nodes[i].Name] = &c.Nodes[i]
	}
	v.sortPods()
	for i := range c.Jobs {
		if ref := workload.OwnerInstance(&c.Jobs[i]); ref != nil {
			of := types.NamespacedName{Namespace: c.Jobs[i].Namespace, Name: ref.Name}
			v.jobs[of] = append(v.jobs[of], &c.Jobs[i])
		}
	}
	for i := range c.Leases {
		if node, ok := v0.AgentOfLease(c.Leases[i].Name); ok {
			v.leases[node] = &c.Leases[i]
		}
	}
	for _, e := range c.Events {
		v.events[e.Regarding] = append(v.events[e.Regarding], e)
	}
	for i := range c.DaemonSets {
		switch d := &c.DaemonSets[i]; {
		case d.Labels[LabelName] == NameAgent:
			v.agentSets = append(v.agentSets, d)
		case d.Labels[LabelComponent] == ComponentHandler:
			v.handlerSets = append(v.handlerSets, d)
		}
	}
	for i := range c.Deployments {
		if c.Deployments[i].Labels[LabelName] == NameController {
			v.controllers = append(v.controllers, &c.Deployments[i])
		}
	}
	return v
}

func (v *view) sortPods() {
	for i := range v.Pods {
		pod := &v.Pods[i]
		switch {
		case pod.Labels[LabelName] == NameAgent && pod.Spec.NodeName != "":
			if old := v.agents[pod.Spec.NodeName]; old == nil ||
				old.CreationTimestamp.Before(&pod.CreationTimestamp) {
				v.agents[pod.Spec.NodeName] = pod // of two the one that replaces the other
			}
		case pod.Labels[LabelComponent] == ComponentHandler && pod.Spec.NodeName != "":
			v.handlers[pod.Spec.NodeName] = append(v.handlers[pod.Spec.NodeName], pod)
		}
		if of := instanceOf(pod); of.Name != "" {
			v.brokers[of] = append(v.brokers[of], pod)
		}
		if over(pod) {
			continue
		}
		for resource := range asks(pod) {
			v.users[resource] = append(v.users[resource], pod)
		}
	}
}

// instanceOf returns the Instance that a Pod is a broker of.
func instanceOf(pod *corev1.Pod) types.NamespacedName {
	if pod.Labels[v0.LabelController] != v0.ControllerName || pod.Labels[v0.LabelInstance] == "" {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v0.LabelInstance]}
}

// Asks reports whether a Pod asks for a device.
func Asks(pod *corev1.Pod) bool { return len(asks(pod)) > 0 }

// OfRelease reports whether an object is an agent, a handler or a controller, by
// its labels.
func OfRelease(o interface{ GetLabels() map[string]string }) bool {
	l := o.GetLabels()
	return l[LabelName] == NameAgent || l[LabelName] == NameController || l[LabelComponent] == ComponentHandler
}

// over reports whether a Pod has ended: it holds no slots.
func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// asks returns the names of Instances and Configurations whose resources a Pod
// asks for, and how many of each.
func asks(pod *corev1.Pod) map[string]int64 {
	var out map[string]int64
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			for _, amounts := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
				for resource := range amounts {
					name, ours := strings.CutPrefix(string(resource), v0.ResourcePrefix+"/")
					if n := workload.Quantity(&pod.Spec, resource); ours && n > 0 {
						if out == nil {
							out = map[string]int64{}
						}
						out[name] = n
					}
				}
			}
		}
	}
	return out
}

// nodesOf returns the nodes that an Instance names, each once.
func nodesOf(inst *v0.Instance) []string {
	out := slices.Clone(inst.Spec.Nodes)
	for _, value := range inst.Spec.DeviceUsage {
		if u, err := v0.ParseUsage(value); err == nil && !u.Free() {
			out = append(out, u.Node)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type object interface {
	GetNamespace() string
	GetName() string
}

func keyOf(o object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func subjectOf(kind Kind, o object) Subject {
	return Subject{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

func nodeSubject(name string) Subject { return Subject{Kind: Node, Name: name} }

// saw reports whether all objects of some kinds were read.
func (v *view) saw(kinds ...string) bool {
	return !slices.ContainsFunc(kinds, func(k string) bool { return v.unseen[k] })
}

// add adds a finding.
func (v *view) add(f Finding) {
	f.Nodes = slices.Compact(slices.Sorted(slices.Values(f.Nodes))) // it may be the Cluster's
	v.known[f.ref()] = true
	v.found = append(v.found, f)
}

// ref returns the finding of a cause about a subject, or nil if there is none
// yet.
func (v *view) ref(s Subject, causes ...Cause) *Ref {
	for _, c := range causes {
		if r := (Ref{c, s}); v.known[r] {
			return &r
		}
	}
	return nil
}

// away returns why nothing can be expected of a node: it is lost, or its agent
// does not respond.
func (v *view) away(node string) *Ref {
	return v.ref(nodeSubject(node), NodeNotReady, NodeGone, AgentSilent)
}

// eventsOf returns the Events of some reasons about an object, the latest
// first.
func (v *view) eventsOf(kind string, o object, reasons ...string) []Event {
	var out []Event
	for _, e := range v.events[Subject{Kind: Kind(kind), Namespace: o.GetNamespace(), Name: o.GetName()}] {
		if slices.Contains(reasons, e.Reason) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return b.Last.Compare(a.Last) })
	return out
}

func sortedKeys[K cmp.Ordered, T any](m map[K]T) []K { return slices.Sorted(maps.Keys(m)) }
