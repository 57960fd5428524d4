// Package dashboardtest makes what agents, controllers, schedulers and kubelets would
// make, on a real API server that has none of them.
package dashboardtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/workload"
)

// Namespace is where the devices are.
const Namespace = "factory"

const release = "akri-system"

// Lab is a cluster whose parts the test plays.
type Lab struct {
	t   testing.TB
	api client.Client
	ctx context.Context
}

// New makes nodes with an agent and the handlers udev and onvif on each.
func New(t testing.TB, api client.Client, nodes ...string) *Lab {
	t.Helper()
	l := &Lab{t: t, api: api, ctx: context.WithoutCancel(t.Context())}
	for _, name := range []string{Namespace, release} {
		err := api.Create(l.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	controller := &appsv1.Deployment{ObjectMeta: meta(release, "akri-controller-deployment", explain.LabelName, explain.NameController)}
	controller.Spec.Selector = &metav1.LabelSelector{MatchLabels: controller.Labels}
	controller.Spec.Template = template(controller.Labels)
	l.create(controller)
	controller.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	l.status(controller)
	for _, part := range [][]string{
		{explain.NameAgent, "agent"}, {"akri-udev-discovery", explain.ComponentHandler}, {"akri-onvif-discovery", explain.ComponentHandler},
	} {
		set := &appsv1.DaemonSet{ObjectMeta: meta(release, part[0]+"-daemonset", explain.LabelName, part[0], explain.LabelComponent, part[1])}
		set.Spec.Selector = &metav1.LabelSelector{MatchLabels: set.Labels}
		set.Spec.Template = template(set.Labels)
		set.Spec.Template.Spec.Containers[0].Args = []string{handlerOf(part[0])}
		l.create(set)
	}
	for _, n := range nodes {
		l.Node(n)
	}
	l.renew(nodes)
	return l
}

// renewInterval is as agents have it, about.
const renewInterval = 5 * time.Second

// renew renews the agents' Leases until the test ends.
func (l *Lab) renew(nodes []string) {
	ctx, cancel := context.WithCancel(l.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(renewInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, n := range nodes {
				lease := &coordinationv1.Lease{ObjectMeta: meta(release, v0.AgentLease(n))}
				patch := fmt.Appendf(nil, `{"spec":{"renewTime":%q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
				_ = l.api.Patch(ctx, lease, client.RawPatch(types.MergePatchType, patch)) // the server may be away
			}
		}
	}()
	l.t.Cleanup(func() { cancel(); <-done })
}

func handlerOf(name string) string {
	if len(name) > len("akri--discovery") && name != explain.NameAgent {
		return name[len("akri-") : len(name)-len("-discovery")]
	}
	return ""
}

func meta(namespace, name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{}}
	for i := 0; i+1 < len(labels); i += 2 {
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

func template(labels map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x"}}}}
}

func (l *Lab) create(o client.Object) {
	l.t.Helper()
	if err := l.api.Create(l.ctx, o); err != nil {
		l.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
	}
}

func (l *Lab) status(o client.Object) {
	l.t.Helper()
	if err := l.api.Status().Update(l.ctx, o); err != nil {
		l.t.Fatalf("status of %T %s: %v", o, o.GetName(), err)
	}
}

// Node makes a node with what the release has there.
func (l *Lab) Node(name string) {
	l.t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	l.create(n)
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4")}
	l.status(n)
	for _, part := range [][]string{
		{explain.NameAgent, "agent"}, {"akri-udev-discovery", explain.ComponentHandler}, {"akri-onvif-discovery", explain.ComponentHandler},
	} {
		l.pod(corev1.Pod{ObjectMeta: meta(release, part[0]+"-"+name, explain.LabelName, part[0], explain.LabelComponent, part[1])}, name, "")
	}
	lease := &coordinationv1.Lease{ObjectMeta: meta(release, v0.AgentLease(name), v0.LabelAgentLease, "true")}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: metav1.NowMicro().Time}
	l.create(lease)
}

// pod makes a Pod that runs.
func (l *Lab) pod(p corev1.Pod, node, asks string) {
	l.t.Helper()
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.org/broker:1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hush"}}}}
	if asks != "" {
		one := corev1.ResourceList{corev1.ResourceName(v0.ResourceName(asks)): resource.MustParse("1")}
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	}
	l.create(&p)
	l.Runs(p.Namespace, p.Name)
}

// Runs makes a Pod one that runs.
func (l *Lab) Runs(namespace, name string) {
	l.t.Helper()
	l.podStatus(namespace, name, corev1.PodStatus{Phase: corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true, State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}})
}

// Fails makes a Pod one whose image cannot be pulled.
func (l *Lab) Fails(namespace, name string) {
	l.t.Helper()
	l.podStatus(namespace, name, corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "main",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff",
			Message: `Back-off pulling image "example.org/broker:1": not found`}}}}})
}

func (l *Lab) podStatus(namespace, name string, s corev1.PodStatus) {
	l.t.Helper()
	p := &corev1.Pod{}
	if err := l.api.Get(l.ctx, client.ObjectKey{Namespace: namespace, Name: name}, p); err != nil {
		l.t.Fatal(err)
	}
	p.Status = s
	l.status(p)
}

// Configuration makes a Configuration, of which each of some nodes says that it has
// found so many devices.
func (l *Lab) Configuration(name, handler string, capacity int32, nodes map[string]int32) *v0.Configuration {
	l.t.Helper()
	c := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}}
	c.Spec.DiscoveryHandler.Name = handler
	if handler == "udev" {
		c.Spec.DiscoveryHandler.DiscoveryDetails = "udevRules: ['KERNEL==\"video*\"']"
	}
	c.Spec.Capacity = capacity
	c.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: []byte(
		`{"containers":[{"name":"main","image":"example.org/broker:1","resources":{"limits":{"{{PLACEHOLDER}}":"1"}}}]}`)}}
	l.create(c)
	for n, devices := range nodes {
		c.Status.Nodes = append(c.Status.Nodes, v0.ConfigurationNode{Name: n, State: v0.DiscoveryActive, Devices: devices})
	}
	l.status(c)
	return c
}

// Device makes the n-th Instance of a Configuration, seen by some nodes, as an agent
// does, with the resource that their kubelets offer.
func (l *Lab) Device(c *v0.Configuration, n int, label string, nodes ...string) *v0.Instance {
	l.t.Helper()
	name := fmt.Sprintf("%s-%06x", c.Name, n)
	inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}}
	inst.OwnerReferences = []metav1.OwnerReference{workload.OwnerRef(c)}
	inst.Annotations = map[string]string{v0.AnnotationDeviceID: "/devices/" + label}
	inst.Spec = v0.InstanceSpec{ConfigurationName: c.Name, CdiName: v0.CDIName(c.Name, v0.HashOf(name)), Capacity: int64(c.Spec.Capacity),
		Nodes: nodes, Shared: len(nodes) > 1, BrokerProperties: map[string]string{"UDEV_DEVNODE": label}}
	l.create(inst)
	inst.Status.Device = label
	l.status(inst)
	for _, node := range nodes {
		o := &corev1.Node{}
		if err := l.api.Get(l.ctx, client.ObjectKey{Name: node}, o); err != nil {
			l.t.Fatal(err)
		}
		o.Status.Allocatable[corev1.ResourceName(v0.ResourceName(name))] = *resource.NewQuantity(inst.Spec.Capacity, resource.DecimalSI)
		l.status(o)
	}
	return inst
}

// Broker makes the broker of an Instance on a node, which has a slot.
func (l *Lab) Broker(inst *v0.Instance, node string) string {
	l.t.Helper()
	name := workload.PodName(inst.Name, node, inst.Spec.Shared)
	p := corev1.Pod{ObjectMeta: meta(Namespace, name, v0.LabelController, v0.ControllerName, v0.LabelInstance, inst.Name,
		v0.LabelConfiguration, inst.Spec.ConfigurationName, v0.LabelTargetNode, node)}
	p.OwnerReferences = []metav1.OwnerReference{workload.OwnerRef(inst)}
	l.pod(p, node, inst.Name)
	l.Hold(inst, node)
	return name
}

// User makes a Pod of somebody's that has a slot of an Instance.
func (l *Lab) User(name string, inst *v0.Instance, node string) {
	l.t.Helper()
	l.pod(corev1.Pod{ObjectMeta: meta(Namespace, name)}, node, inst.Name)
	l.Hold(inst, node)
}

// Hold gives the next slot of an Instance to a node.
func (l *Lab) Hold(inst *v0.Instance, node string) {
	l.t.Helper()
	if err := l.api.Get(l.ctx, client.ObjectKeyFromObject(inst), inst); err != nil {
		l.t.Fatal(err)
	}
	if inst.Spec.DeviceUsage == nil {
		inst.Spec.DeviceUsage = map[string]string{}
	}
	inst.Spec.DeviceUsage[v0.SlotID(inst.Name, len(inst.Spec.DeviceUsage))] = node
	if err := l.api.Update(l.ctx, inst); err != nil {
		l.t.Fatal(err)
	}
}

// Unplug makes a device one that its node no longer sees.
func (l *Lab) Unplug(inst *v0.Instance) {
	l.t.Helper()
	if err := l.api.Get(l.ctx, client.ObjectKeyFromObject(inst), inst); err != nil {
		l.t.Fatal(err)
	}
	now := metav1.Now()
	inst.Status.Nodes = nil
	for _, n := range inst.Spec.Nodes {
		inst.Status.Nodes = append(inst.Status.Nodes, v0.InstanceNode{Name: n, State: v0.DeviceOffline, Since: &now})
	}
	l.status(inst)
}

// Delete deletes an object.
func (l *Lab) Delete(o client.Object) {
	l.t.Helper()
	if err := l.api.Delete(l.ctx, o, client.GracePeriodSeconds(0)); err != nil {
		l.t.Fatal(err)
	}
}

// Event writes an Event about a Configuration, as an agent does.
func (l *Lab) Event(c *v0.Configuration, reason, note string) {
	l.t.Helper()
	e := &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, GenerateName: c.Name + ".e"}, EventTime: metav1.NowMicro(),
		Reason: reason, Note: note, Type: "Normal", Action: "Discover", ReportingController: "akri.sh/agent", ReportingInstance: "n1",
		Regarding: corev1.ObjectReference{APIVersion: v0.GroupVersion.String(), Kind: "Configuration", Namespace: Namespace, Name: c.Name, UID: c.UID}}
	l.create(e)
}
