//go:build integration

package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/internal/workload"
)

const waitTimeout = eventually.Patience

// fixture is a real API server with the real controller. The test plays the
// agents, the scheduler and the kubelets: it writes what they would.
type fixture struct {
	t      *testing.T
	server *kubetest.Server
	api    client.Client
	now    func() time.Time
}

// TestSnapshot makes faults on a real API server, and asks why.
func TestSnapshot(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	f := &fixture{t: t, server: kubetest.Start(t, kubetest.WithCRDs(""))}
	t.Run("not-installed", func(t *testing.T) { testNotInstalled(f, t) })
	err := f.server.InstallCRDs(t.Context(), "../../../charts/akri/crds")
	if err != nil {
		t.Fatal(err)
	}
	if f.api, f.now, err = Client(f.server.Config); err != nil {
		t.Fatal(err)
	}
	f.release()
	f.runController()
	for _, tt := range []struct {
		name string
		run  func(*fixture, *testing.T)
	}{
		{"quota", testQuota},
		{"pod-security", testPodSecurity},
		{"nothing-found", testNothingFound},
		{"no-handler", testNoHandler},
		{"one-name", testOneName},
		{"slots", testSlots},
		{"containers", testContainers},
		{"node-lost", testNodeLost},
		{"agent-silent", testAgentSilent},
		{"few-rights", testFewRights},
		{"pages", testPages},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here := *f
			here.t = t
			tt.run(&here, t)
		})
	}
}

func (f *fixture) create(objects ...client.Object) {
	f.t.Helper()
	for _, o := range objects {
		status := o.DeepCopyObject().(client.Object)
		if err := f.api.Create(f.t.Context(), o); err != nil {
			f.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
		status.SetResourceVersion(o.GetResourceVersion())
		status.SetUID(o.GetUID())
		switch s := status.(type) {
		case *corev1.Pod, *corev1.Node, *appsv1.DaemonSet, *appsv1.Deployment:
			if err := f.api.Status().Update(f.t.Context(), s); err != nil {
				f.t.Fatalf("status of %T %s: %v", o, o.GetName(), err)
			}
		}
	}
}

func metaOf(namespace, name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name}
	for i := 0; i+1 < len(labels); i += 2 {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

// release makes two nodes, and the agents on them.
func (f *fixture) release() {
	f.create(&corev1.Namespace{ObjectMeta: metaOf("", "akri")})
	labels := []string{explain.LabelName, explain.NameAgent, explain.LabelComponent, "agent"}
	f.create(&appsv1.DaemonSet{ObjectMeta: metaOf("akri", "akri-agent-daemonset", labels...), Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{explain.LabelName: explain.NameAgent}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metaOf("", "", labels...), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "akri-agent", Image: "x"}}}},
	}})
	controllers := []string{explain.LabelName, explain.NameController}
	f.create(&appsv1.Deployment{ObjectMeta: metaOf("akri", "akri-controller-deployment", controllers...), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{explain.LabelName: explain.NameController}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metaOf("", "", controllers...), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "akri-controller", Image: "x"}}}},
	}, Status: appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}})
	for _, n := range []string{"n1", "n2"} {
		node := &corev1.Node{ObjectMeta: metaOf("", n)}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		node.Status.Allocatable = corev1.ResourceList{"akri.sh/slots": resource.MustParse("0"), "cpu": resource.MustParse("2")}
		f.create(node)
		f.create(f.pod("akri", "agent-"+n, n, "", labels...), &coordinationv1.Lease{ObjectMeta: metaOf("akri", v0.AgentLease(n), v0.LabelAgentLease, "true")})
	}
}

// pod is a Pod that runs, or one that waits for a node if it has none. It asks
// for a resource, if one is given.
func (f *fixture) pod(namespace, name, node, asks string, labels ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metaOf(namespace, name, labels...)}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.org/none:1"}}
	if asks != "" {
		one := corev1.ResourceList{corev1.ResourceName(v0.ResourceName(asks)): resource.MustParse("1")}
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	if node == "" {
		p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonUnschedulable, Message: "0/2 nodes are available: 2 Insufficient akri.sh/" + asks + "."}}}
	}
	return p
}

// runController runs the controller until the test ends.
func (f *fixture) runController() {
	var log testlog.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controller.New(ctx, controller.Options{Config: f.server.Config, MetricsAddress: "0", ProbeAddress: "0",
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		cancel()
		f.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("the controller ended: %v", err)
		}
		if f.t.Failed() {
			f.t.Logf("the controller's log:\n%s", log.String())
		}
	})
}

// configuration makes a Configuration, and what the agents say of it.
func (f *fixture) configuration(namespace, name string, state v0.DiscoveryState, message string, broker bool) *v0.Configuration {
	f.t.Helper()
	c := &v0.Configuration{ObjectMeta: metaOf(namespace, name)}
	c.Spec.DiscoveryHandler = v0.DiscoveryHandlerInfo{Name: "udev", DiscoveryDetails: "udevRules: ['KERNEL==\"video*\"']"}
	if broker {
		c.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: []byte(
			`{"containers":[{"name":"main","image":"example.org/none:1","resources":{"limits":{"{{PLACEHOLDER}}":"1"}}}]}`)}}
	}
	f.create(c)
	f.eventually("status of "+name, func() error {
		if err := f.api.Get(f.t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		c.Status.Nodes = nil
		for _, n := range []string{"n1", "n2"} {
			c.Status.Nodes = append(c.Status.Nodes, v0.ConfigurationNode{Name: n, State: state, Message: message})
		}
		return f.api.Status().Update(f.t.Context(), c)
	})
	return c
}

// instance makes an Instance with one slot, and who has it.
func (f *fixture) instance(c *v0.Configuration, name, holder string) *v0.Instance {
	f.t.Helper()
	inst := &v0.Instance{ObjectMeta: metaOf(c.Namespace, name)}
	inst.OwnerReferences = []metav1.OwnerReference{workload.OwnerRef(c)}
	inst.Spec = v0.InstanceSpec{ConfigurationName: c.Name, CdiName: v0.CDIName(c.Name, v0.HashOf(name)), Capacity: 1, Nodes: []string{"n1"}}
	if holder != "" {
		inst.Spec.DeviceUsage = map[string]string{v0.SlotID(name, 0): holder}
	}
	f.create(inst)
	f.setNode(f.t.Context(), func(n *corev1.Node) { // as its kubelet does
		n.Status.Allocatable[corev1.ResourceName(v0.ResourceName(name))] = resource.MustParse("1")
	})
	return inst
}

// setNode changes the status of the node n1.
func (f *fixture) setNode(ctx context.Context, change func(*corev1.Node)) {
	f.t.Helper()
	f.eventually("status of n1", func() error {
		var n corev1.Node
		if err := f.api.Get(ctx, client.ObjectKey{Name: "n1"}, &n); err != nil {
			return err
		}
		change(&n)
		return f.api.Status().Update(ctx, &n)
	})
}

func (f *fixture) namespace(name string, labels ...string) string {
	f.t.Helper()
	f.create(&corev1.Namespace{ObjectMeta: metaOf("", name, labels...)})
	return name
}

func (f *fixture) eventually(what string, check func() error) {
	f.t.Helper()
	eventually.Succeeds(f.t, waitTimeout, func(context.Context) error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// explain waits until a subject is explained by a cause, with some words. Age
// makes Configurations, Instances and Pods so much older than they are.
func (f *fixture) explain(s explain.Subject, age time.Duration, cause explain.Cause, words ...string) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%s because of %s", s, cause), func() error {
		cluster, err := Read(f.t.Context(), f.api, f.now, Options{Pod: s})
		if err != nil {
			return err
		}
		for i := range cluster.Configurations {
			older(&cluster.Configurations[i], age)
		}
		for i := range cluster.Instances {
			older(&cluster.Instances[i], age)
		}
		for i := range cluster.Pods {
			older(&cluster.Pods[i], age)
		}
		a, err := explain.Of(cluster, s)
		if err != nil {
			return err
		}
		text := a.Answer + "\n"
		found := false
		for _, x := range a.Findings {
			found = found || x.Cause == cause
			text += fmt.Sprintf("%+v\n", x)
		}
		if !found {
			return fmt.Errorf("no %s in\n%s", cause, text)
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Errorf("no %q in\n%s", w, text)
			}
		}
		return nil
	})
}

func older(o client.Object, age time.Duration) {
	o.SetCreationTimestamp(metav1.NewTime(o.GetCreationTimestamp().Add(-age)))
}
