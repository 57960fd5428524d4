package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v0 "github.com/akri-go/akri/api/v0"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// yesterday is when the objects of a test were made, unless it says otherwise.
var yesterday = ago(24 * time.Hour)

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + namespace + "/" + name), CreationTimestamp: yesterday}
}

// well is a cluster of two nodes on which all is well: a Configuration default/cam
// of the handler udev has found cam-000001 on n1, and its broker runs.
func well() *Cluster {
	c := &Cluster{Now: now}
	c.release("agent", NameAgent, "agent", "akri-agent-daemonset")
	c.release("udev", "akri-udev-discovery", ComponentHandler, "akri-udev-discovery-daemonset", "udev")
	controller := appsv1.Deployment{ObjectMeta: named("akri", "akri-controller-deployment")}
	controller.Labels = map[string]string{LabelName: NameController}
	controller.Spec.Replicas, controller.Status.ReadyReplicas = ptr.To[int32](2), 2
	c.Deployments = append(c.Deployments, controller)
	c.Webhook = &Webhook{Registered: true}
	for _, n := range []string{"n1", "n2"} {
		c.node(n)
	}
	conf := c.configuration("default", "cam")
	conf.Status.Nodes = []v0.ConfigurationNode{
		{Name: "n1", State: v0.DiscoveryActive, Devices: 1, Message: "asked unix:///var/lib/akri/udev.sock"},
		{Name: "n2", State: v0.DiscoveryActive, Message: "asked unix:///var/lib/akri/udev.sock"},
	}
	c.instance("cam-000001", "n1").Spec.DeviceUsage = map[string]string{"cam-000001-0": "n1"}
	c.broker("cam-000001", "n1")
	c.Services = append(c.Services, corev1.Service{ObjectMeta: named("default", "cam-000001-svc")})
	return c
}

// release adds a DaemonSet of the release.
func (c *Cluster) release(short, label, component, name string, args ...string) {
	set := appsv1.DaemonSet{ObjectMeta: named("akri", name)}
	set.Labels = map[string]string{LabelName: label, LabelComponent: component, labelRelease: "akri"}
	set.Spec.Template.Spec.Containers = []corev1.Container{{Name: short, Args: args}}
	set.Status.DesiredNumberScheduled = 2
	c.DaemonSets = append(c.DaemonSets, set)
}

// node adds a node with a Pod of each DaemonSet, and its agent's Lease.
func (c *Cluster) node(name string) *corev1.Node {
	n := corev1.Node{ObjectMeta: named("", name)}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: yesterday}}
	n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4")}
	if name == "n1" {
		n.Status.Allocatable["akri.sh/cam-000001"] = resource.MustParse("1")
		n.Status.Allocatable["akri.sh/cam"] = resource.MustParse("0")
	}
	c.Nodes = append(c.Nodes, n)
	for _, set := range c.DaemonSets {
		pod := running(set.Spec.Template.Spec.Containers[0].Name+"-"+name, name)
		pod.Namespace, pod.Labels = "akri", set.Labels
		c.Pods = append(c.Pods, pod)
	}
	lease := coordinationv1.Lease{ObjectMeta: named("akri", v0.AgentLease(name))}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: now.Add(-5 * time.Second)}
	c.Leases = append(c.Leases, lease)
	return &c.Nodes[len(c.Nodes)-1]
}

// running is a Pod that runs and is ready.
func running(name, node string) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: named("default", name)}
	pod.Spec.NodeName = node
	pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.org/image:1"}}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Ready: true, State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: yesterday}}}}
	return pod
}

func (c *Cluster) configuration(namespace, name string) *v0.Configuration {
	conf := v0.Configuration{ObjectMeta: named(namespace, name)}
	conf.Spec.DiscoveryHandler = v0.DiscoveryHandlerInfo{Name: "udev", DiscoveryDetails: "udevRules:\n- KERNEL==\"video*\"\n"}
	conf.Spec.Capacity = 1
	conf.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: []byte(
		`{"containers":[{"name":"main","image":"i","resources":{"limits":{"{{PLACEHOLDER}}":"1"}}}]}`)}}
	conf.Spec.InstanceServiceSpec = &runtime.RawExtension{Raw: []byte(`{"ports":[{"port":80}]}`)}
	c.Configurations = append(c.Configurations, conf)
	return &c.Configurations[len(c.Configurations)-1]
}

// instance adds an Instance of the Configuration cam, with one slot.
func (c *Cluster) instance(name string, nodes ...string) *v0.Instance {
	inst := v0.Instance{ObjectMeta: named("default", name)}
	inst.Annotations = map[string]string{v0.AnnotationDeviceID: "/devices/" + name}
	inst.Spec = v0.InstanceSpec{ConfigurationName: "cam", Capacity: 1, Nodes: nodes, Shared: len(nodes) > 1,
		BrokerProperties: map[string]string{"UDEV_DEVNODE": "/dev/video" + name[len(name)-1:]}}
	inst.Status.Device = "/dev/video" + name[len(name)-1:]
	c.Instances = append(c.Instances, inst)
	return &c.Instances[len(c.Instances)-1]
}

func (c *Cluster) broker(instance, node string) *corev1.Pod {
	pod := running(instance+"-pod", node)
	pod.Labels = map[string]string{v0.LabelController: v0.ControllerName, v0.LabelInstance: instance, v0.LabelConfiguration: "cam", v0.LabelTargetNode: node}
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "akri.sh/v0", Kind: "Instance", Name: instance, UID: "uid-default/" + types.UID(instance), Controller: ptr.To(true)}}
	limit(&pod, instance, 1)
	c.Pods = append(c.Pods, pod)
	return &c.Pods[len(c.Pods)-1]
}

// user adds a Pod of a user that asks for a resource.
func (c *Cluster) user(name, node, resource string, n int64) *corev1.Pod {
	pod := running(name, node)
	limit(&pod, resource, n)
	if node == "" {
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: ago(time.Hour),
			Message: "0/2 nodes are available: 2 Insufficient akri.sh/" + resource + "."}}}
	}
	c.Pods = append(c.Pods, pod)
	return &c.Pods[len(c.Pods)-1]
}

func limit(pod *corev1.Pod, name string, n int64) {
	if name == "" {
		return
	}
	units := corev1.ResourceList{corev1.ResourceName(v0.ResourceName(name)): *resource.NewQuantity(n, resource.DecimalSI)}
	pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: units, Limits: units}
}

// waits makes a Pod's container wait for a reason.
func waits(pod *corev1.Pod, reason, message string) {
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "main",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
}

// crashes makes a Pod's container end again and again.
func crashes(pod *corev1.Pod, code int32, reason string) {
	end := &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "main", RestartCount: 5,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s restarting failed container"}},
		LastTerminationState: corev1.ContainerState{Terminated: end}}}}
}

func failed(pod *corev1.Pod, reason, message string) {
	pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: reason, Message: message}
}

func (c *Cluster) event(kind, name, reason, note string) {
	namespace := "default"
	if kind == "Node" {
		namespace = ""
	}
	c.Events = append(c.Events, Event{Regarding: Subject{Kind(kind), namespace, name}, Reason: reason, Note: note, Last: now.Add(-time.Minute)})
}

func (c *Cluster) jobOf(instance string, conditions ...batchv1.JobCondition) {
	j := batchv1.Job{ObjectMeta: named("default", instance+"-1-job")}
	j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "akri.sh/v0", Kind: "Instance", Name: instance, Controller: ptr.To(true)}}
	j.Status.Conditions = conditions
	c.Jobs = append(c.Jobs, j)
}

// podOf returns a Pod by its name.
func (c *Cluster) podOf(name string) *corev1.Pod {
	return &c.Pods[slices.IndexFunc(c.Pods, func(p corev1.Pod) bool { return p.Name == name })]
}

// without removes the Pods whose names begin so.
func (c *Cluster) without(prefix string) {
	c.Pods = slices.DeleteFunc(c.Pods, func(p corev1.Pod) bool { return strings.HasPrefix(p.Name, prefix) })
}

// says sets what the agents of both nodes say of the Configuration cam, which
// has no devices then.
func (c *Cluster) says(state v0.DiscoveryState, message string) {
	c.Instances, c.Services = nil, nil
	c.without("cam-")
	for i := range c.Configurations[0].Status.Nodes {
		c.Configurations[0].Status.Nodes[i].State, c.Configurations[0].Status.Nodes[i].Message = state, message
		c.Configurations[0].Status.Nodes[i].Devices = 0
	}
}

func (c *Cluster) condition(kind, reason, message string) {
	c.Configurations[0].Status.Conditions = append(c.Configurations[0].Status.Conditions,
		metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message})
}

// brief writes findings as "problem NodeNotReady Node n2", in their order.
func brief(found []Finding) string {
	var out []string
	for _, f := range found {
		text := fmt.Sprintf("%s %s %s", f.Level, f.Cause, f.Subject)
		if f.Because != nil {
			text += " <- " + string(f.Because.Cause)
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// all is all text of an answer.
func (a Answer) all() string {
	text := a.Answer + "\n"
	for _, f := range a.Facts {
		text += f.From + ": " + f.Says + "\n"
	}
	for _, f := range a.Findings {
		text += f.Summary + "\n" + f.Remedy.Text + "\n" + strings.Join(f.Remedy.Commands, "\n") + "\n" + f.Remedy.See + "\n"
		for _, e := range f.Evidence {
			text += e.From + ": " + e.Says + "\n"
		}
	}
	return text
}

func explainOf(t *testing.T, c *Cluster, ask string) Answer {
	t.Helper()
	if ask == "" {
		return All(*c, "")
	}
	kind, name, _ := strings.Cut(ask, " ")
	a, err := Of(*c, Subject{Kind: Kind(kind), Name: name})
	if err != nil {
		t.Fatalf("%s: %v", ask, err)
	}
	return a
}
