//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/test/testcluster"
)

// One device that both nodes see and one may use: one Instance, one broker, and
// nothing to offer on the node without the broker.
func TestOneSlot(t *testing.T) {
	t.Parallel()
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-one", 1, 1, "one")
	before := r.uids(c.Name)
	var instance *v0.Instance
	r.read(func() { instance = r.instancesOf(c.Name)[0] })
	if s := instance.Spec; !s.Shared || s.Capacity != 1 || instance.Labels[v0.LabelShared] != "true" {
		t.Errorf("Instance %+v", instance)
	}
	holder := held(instance)[v0.SlotID(instance.Name, 0)]
	without, _ := other(holder)
	r.await(waitTimeout,
		r.allocatable(holder, instance.Name, 1), r.allocatable(without, instance.Name, 0),
		r.allocatable(holder, c.Name, 0), r.allocatable(without, c.Name, 0))
	r.throughout(5*time.Second, r.unchanged(before, c.Name), r.capacity(c.Name, 1), r.allocatable(without, instance.Name, 0))
	if n := len(r.made[c.Name]); n != 2 {
		t.Errorf("%d Instances and brokers were made, want one of each", n)
	}
}

// Pods on both nodes want one slot: one runs, the other waits for it, and gets
// it when the first has gone.
func TestRaceForOneSlot(t *testing.T) {
	t.Parallel()
	r := follow(t, bed.NewNamespace(t))
	instance := withoutBrokers(t, r, "nodes-race", 1)
	r.always(r.capacity("nodes-race", 1))
	names := []string{"race-1", "race-2"}
	for i, node := range all() {
		create(t, users(r.ns, names[i], node, instance))
	}
	r.await(waitTimeout, r.running(1, names...), r.waiting(1, names...))
	r.throughout(10*time.Second, r.running(1, names...), r.waiting(1, names...))
	winner, loser := names[0], names[1]
	tries := 0
	r.read(func() {
		if r.running(1, loser)() == nil {
			winner, loser = loser, winner
		}
		tries = len(r.made[loser])
	})
	t.Logf("%d Pods were made for the one that waits", tries)
	if tries > maxTries {
		t.Errorf("%d Pods were made for the one that waits, at most %d are no loop", tries, maxTries)
	}
	patch(t, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: winner}}, `{"spec":{"replicas":0}}`)
	r.await(waitTimeout, r.running(0, winner), r.running(1, loser))
}

// maxTries is how many Pods of one user the kubelet may refuse. A ReplicaSet
// makes about ten a second until the scheduler knows that the node has none
// left, which the kubelet reports once a second here.
const maxTries = 100

// Four Pods on two nodes, by way of both resources, want two slots.
func TestRaceForTwoSlots(t *testing.T) {
	t.Parallel()
	const name = "nodes-two"
	r := follow(t, bed.NewNamespace(t))
	instance := withoutBrokers(t, r, name, 2)
	r.always(r.capacity(name, 2))
	var names []string
	for i, node := range all() {
		for j, resource := range []string{instance, name} {
			names = append(names, fmt.Sprintf("race-%d-%d", i+1, j+1))
			create(t, users(r.ns, names[len(names)-1], node, resource))
		}
	}
	r.await(waitTimeout, r.running(2, names...), r.waiting(2, names...))
	r.throughout(10*time.Second, r.running(2, names...), r.waiting(2, names...))
	for _, n := range names {
		if tries := len(r.made[n]); tries > maxTries {
			t.Errorf("%d Pods were made for %s, at most %d are no loop", tries, n, maxTries)
		}
	}
}

// Devices that belong to their nodes: an Instance for each, with a name of its
// own.
func TestLocalDevices(t *testing.T) {
	shareEcho(t, false)
	r := follow(t, bed.NewNamespace(t))
	c := testcluster.EchoConfiguration(r.ns, "nodes-local", 1, "one")
	c.Spec.BrokerSpec = testcluster.BrokerPod(t)
	create(t, c)
	r.await(waitTimeout, func() error {
		for _, node := range all() {
			name := v0.InstanceName(c.Name, v0.DeviceHash("one", node, false))
			i := r.instances[name]
			if i == nil {
				return fmt.Errorf("there is no Instance %s", name)
			}
			if i.Spec.Shared || len(i.Spec.Nodes) != 1 || i.Spec.Nodes[0] != node || i.Labels[v0.LabelNode] != node {
				return fmt.Errorf("Instance of %s: %+v", node, i.Spec)
			}
			if got := held(i)[v0.SlotID(name, 0)]; got != node {
				return fmt.Errorf("slot of %s is held by %q", name, got)
			}
			if err := r.allocatable(node, name, 1)(); err != nil {
				return err
			}
		}
		return nil
	}, r.brokers(c.Name, 1))
	if n := len(r.made[c.Name]); n != 4 {
		t.Errorf("%d Instances and brokers were made, want two of each", n)
	}
}

// shareEcho makes debugEcho's devices shared, or not, by an upgrade of the
// release. After the test they are shared again.
func shareEcho(t *testing.T, shared bool) {
	t.Helper()
	upgrade := func(ctx context.Context, shared bool) error {
		ctx, cancel := context.WithTimeout(ctx, 2*waitTimeout)
		defer cancel()
		return install(ctx, fmt.Sprintf("debugEcho.configuration.shared=%v", shared))
	}
	t.Cleanup(func() {
		if err := upgrade(context.Background(), true); err != nil {
			t.Errorf("share the devices again: %v", err)
		}
	})
	if err := upgrade(t.Context(), shared); err != nil {
		t.Fatalf("change whether devices are shared: %v", err)
	}
}

// install installs the chart or upgrades it, with values beside those of all
// tests.
func install(ctx context.Context, more ...string) error {
	values, err := helm.ParseValues(append(values(), more...))
	if err != nil {
		return err
	}
	return bed.InstallChart(ctx, helm.InstallOptions{
		ChartDir: filepath.Join(bed.Repo, "charts", "akri"),
		Release:  testcluster.Release, Namespace: testcluster.Namespace, Values: values, Wait: waitTimeout,
	})
}

// A changed broker spec replaces the brokers of an Instance one after the other.
func TestRollOut(t *testing.T) {
	t.Parallel()
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-roll", 2, 2, "left", "right")
	old := map[string]string{}
	r.read(func() {
		for _, p := range r.podsOf(c.Name) {
			old[p.Name] = p.Annotations[v0.AnnotationSpecHash]
		}
	})
	end := r.always(r.capacity(c.Name, 2), func() error {
		for _, i := range r.instancesOf(c.Name) {
			ready := 0
			for _, p := range r.podsOf(c.Name) {
				if p.Labels[v0.LabelInstance] == i.Name && testcluster.IsReady(p) {
					ready++
				}
			}
			if ready == 0 {
				return fmt.Errorf("no broker of %s is ready", i.Name)
			}
		}
		return nil
	})
	spec := corev1.PodSpec{Containers: []corev1.Container{testcluster.Container(v0.Placeholder, 1)}}
	spec.Containers[0].Env = []corev1.EnvVar{{Name: "EDITION", Value: "second"}}
	change(t, c, `{"spec":{"brokerSpec":{"brokerPodSpec":`+string(testcluster.Raw(t, spec).Raw)+`}}}`)
	r.await(waitTimeout, r.brokers(c.Name, 2), func() error {
		for _, p := range r.podsOf(c.Name) {
			if p.Annotations[v0.AnnotationSpecHash] == old[p.Name] || p.Spec.Containers[0].Env == nil {
				return fmt.Errorf("broker %s is of the old spec", p.Name)
			}
		}
		return nil
	})
	end()
	if n := len(r.made[c.Name]); n != 2+4+4 {
		t.Errorf("%d Instances and brokers were made, want 2 and twice 4", n)
	}
}

// A Job is made once for an Instance, however many nodes see it.
func TestJobs(t *testing.T) {
	t.Parallel()
	r := follow(t, bed.NewNamespace(t))
	c := testcluster.EchoConfiguration(r.ns, "nodes-job", 2, "left", "right")
	c.Spec.BrokerSpec = &v0.BrokerSpec{BrokerJobSpec: testcluster.Raw(t, batchv1.JobSpec{
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{testcluster.Container(v0.Placeholder, 1)},
		}},
	})}
	create(t, c)
	r.await(waitTimeout, r.seen(c.Name, 2, all()...), r.brokers(c.Name, 1))
	before := r.uids(c.Name)
	r.throughout(5*time.Second, r.unchanged(before, c.Name))
	var jobs batchv1.JobList
	if err := api.List(t.Context(), &jobs, client.InNamespace(r.ns)); err != nil {
		t.Fatal(err)
	}
	if len(jobs.Items) != 2 {
		t.Errorf("%d Jobs, want one for each Instance", len(jobs.Items))
	}
}
