//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/test/testcluster"
)

// The agent and the handler of one node are gone: what runs keeps running on
// both, and the other node still finds devices and runs brokers.
func TestAgentOfOneNodeGone(t *testing.T) {
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-agent", 2, 2, "one")
	before := r.uids(c.Name)
	without, with := all()[1], all()[0]
	instance := v0.InstanceName(c.Name, v0.DeviceHash("one", "", true))

	agentNotOn(t, without)
	kill(t, "akri-debug-echo-discovery", without)
	r.throughout(5*time.Second, r.seen(c.Name, 1, all()...), r.unchanged(before, c.Name))
	r.await(waitTimeout, r.allocatable(without, instance, 0))
	fresh := testcluster.EchoConfiguration(r.ns, "nodes-agent-2", 1, "one", "two")
	fresh.Spec.BrokerSpec = testcluster.BrokerPod(t)
	create(t, fresh)
	r.await(waitTimeout, r.seen(fresh.Name, 2, with), r.brokers(fresh.Name, 1), r.brokersOn(fresh.Name, with))
	afterwards := r.uids(fresh.Name)

	agentEverywhere(t)
	// It offers its node's slot again, which the broker has, and no other.
	r.await(waitTimeout, r.seen(fresh.Name, 2, all()...), r.allocatable(without, instance, 1), r.allocatable(without, c.Name, 0))
	r.throughout(5*time.Second, r.unchanged(before, c.Name), r.unchanged(afterwards, fresh.Name))
}

// A handler that is killed costs nothing, on its own node and on the other.
func TestHandlerOfOneNodeKilled(t *testing.T) {
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-handler", 2, 2, "one")
	before := r.uids(c.Name)
	node := all()[0]
	started := restarts(t)
	end := r.always(r.seen(c.Name, 1, all()...), r.unchanged(before, c.Name))
	kill(t, "akri-debug-echo-discovery", node)
	testcluster.Eventually(t, waitTimeout, func(context.Context) error {
		if len(startedAgain(t, started)) == 0 {
			return fmt.Errorf("the handler has not been started again")
		}
		return nil
	})
	// What comes next is seen by both again.
	withBrokers(t, r, "nodes-handler-2", 2, 2, "one")
	end()
}

// kill ends the processes of a component on a node with SIGKILL.
func kill(t *testing.T, component, node string) {
	t.Helper()
	pids, err := testcluster.ProcessesOf("akri", uidsOf(t, component, node)...)
	if err != nil || len(pids) == 0 {
		t.Fatalf("processes of %s on %s: %v, %v", component, node, pids, err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s on %s: %v", component, node, err)
		}
	}
}

func podsOn(t *testing.T, component, node string) []corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	var pods corev1.PodList
	if err := api.List(ctx, &pods, client.InNamespace(testcluster.Namespace),
		client.MatchingLabels{"app.kubernetes.io/name": component}, client.MatchingFields{"spec.nodeName": node}); err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

func uidsOf(t *testing.T, component, node string) (uids []string) {
	t.Helper()
	for _, p := range podsOn(t, component, node) {
		uids = append(uids, string(p.UID))
	}
	return uids
}

func agents() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: testcluster.Namespace, Name: "akri-agent-daemonset"}}
}

// agentNotOn removes the agent from a node, until agentEverywhere or the end of
// the test. OnDelete keeps the other one as it is.
func agentNotOn(t *testing.T, node string) {
	t.Helper()
	t.Cleanup(func() { agentEverywhere(t) })
	patch(t, agents(), `{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}`)
	patch(t, agents(), `{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":`+
		`{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"NotIn","values":["`+node+`"]}]}]}}}}}}}`)
	testcluster.Eventually(t, waitTimeout, func(context.Context) error {
		if n := len(podsOn(t, "akri-agent", node)); n > 0 {
			return fmt.Errorf("the agent on %s is still there", node)
		}
		return nil
	})
}

func agentEverywhere(t *testing.T) {
	t.Helper()
	patch(t, agents(), `{"spec":{"template":{"spec":{"affinity":null}}}}`)
	for _, node := range all() {
		waitFor(t, func() error {
			pods := podsOn(t, "akri-agent", node)
			if len(pods) != 1 || !testcluster.IsReady(&pods[0]) {
				return fmt.Errorf("no agent is ready on %s", node)
			}
			return nil
		})
	}
	patch(t, agents(), `{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}`)
}

// waitFor waits for what no record follows, also after the test.
func waitFor(t *testing.T, check func() error) {
	t.Helper()
	testcluster.Eventually(t, waitTimeout, func(context.Context) error { return check() })
}

// The leader's Pod is deleted by force while devices appear. Its Lease is
// deleted with it, the other controller takes over, and no broker is missing or
// doubled.
func TestLeaderKilledWhileDevicesAppear(t *testing.T) {
	r := follow(t, bed.NewNamespace(t))
	withBrokers(t, r, "nodes-leader", 1, 1, "one")
	before := r.uids("nodes-leader")
	holder := leader(t)
	for i := range 3 {
		c := testcluster.EchoConfiguration(r.ns, fmt.Sprintf("nodes-leader-%d", i), 2, "one", "two")
		c.Spec.BrokerSpec = testcluster.BrokerPod(t)
		create(t, c)
		if i == 1 {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: testcluster.Namespace, Name: holder}}
			if err := api.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 3 {
		name := fmt.Sprintf("nodes-leader-%d", i)
		r.always(r.capacity(name, 2))
		r.await(waitTimeout, r.seen(name, 2, all()...), r.brokers(name, 2))
	}
	if leader(t) == holder {
		t.Errorf("%s acts still", holder)
	}
	r.throughout(3*time.Second, r.unchanged(before, "nodes-leader"))
	for i := range 3 {
		name := fmt.Sprintf("nodes-leader-%d", i)
		r.read(func() {
			if n := len(r.made[name]); n != 2+4 {
				t.Errorf("%d Instances and brokers of %s were made, want 2 and 4", n, name)
			}
		})
	}
}

// leader returns the Pod that holds the controllers' Lease.
func leader(t *testing.T) string {
	t.Helper()
	var lease coordinationv1.Lease
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: testcluster.Namespace, Name: controller.LeaseName}, &lease); err != nil {
		t.Fatal(err)
	}
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}
