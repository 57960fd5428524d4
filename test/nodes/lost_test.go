//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/test/testcluster"
)

// A node is drained, as before maintenance: its broker moves, and stays there
// when the node accepts Pods again.
func TestNodeDrained(t *testing.T) {
	r := follow(t, bed.NewNamespace(t))
	c := withBrokers(t, r, "nodes-drain", 1, 1, "one")
	r.always(r.capacity(c.Name, 1), r.seen(c.Name, 1, all()...))
	from := r.brokerNode(c.Name)
	to, _ := other(from)

	t.Cleanup(func() { kubectl(t, "uncordon", from) })
	kubectl(t, "drain", from, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=5m")
	r.await(waitTimeout, r.brokers(c.Name, 1), r.brokersOn(c.Name, to))
	after := r.uids(c.Name)
	kubectl(t, "uncordon", from)
	r.throughout(8*time.Second, r.unchanged(after, c.Name))
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*waitTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, bed.Binary("kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+bed.Kubeconfig())
	command.WaitDelay = time.Minute
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("kubectl %v: %v\n%s", args, err, out)
	}
}

// brokerNode returns the node of a Configuration's only broker.
func (r *record) brokerNode(configuration string) (node string) {
	r.read(func() { node = r.podsOf(configuration)[0].Spec.NodeName })
	return node
}

// brokersOn complains of brokers that are not on a node.
func (r *record) brokersOn(configuration, node string) look {
	return func() error {
		for _, p := range r.podsOf(configuration) {
			if p.Spec.NodeName != node {
				return fmt.Errorf("broker %s is on %s, want %s", p.Name, p.Spec.NodeName, node)
			}
		}
		return nil
	}
}

// A node loses its power: the other one takes over what it can. When the power
// is back, all is as before, and what moved stays.
func TestNodeKilled(t *testing.T) { testLost(t, "nodes-killed", false) }

// A node is deleted from the cluster, and comes back later.
func TestNodeDeleted(t *testing.T) { testLost(t, "nodes-deleted", true) }

func testLost(t *testing.T, name string, deleted bool) {
	controllerOnEach(t)
	r := follow(t, bed.NewNamespace(t))
	one, two := name+"-1", name+"-2"
	withBrokers(t, r, one, 1, 1, "one")
	withBrokers(t, r, two, 2, 2, "one")
	lost := r.brokerNode(one)
	left, _ := other(lost)
	wanted := withoutBrokers(t, r, name+"-3", 1)
	r.always(r.capacity(one, 1), r.capacity(two, 2), r.capacity(name+"-3", 1))

	// A user's Pod has a slot there, another one waits for it here.
	create(t, users(r.ns, "there", lost, wanted))
	r.await(waitTimeout, r.running(1, "there"))
	create(t, users(r.ns, "here", left, wanted))
	r.await(waitTimeout, r.running(1, "there", "here"), r.waiting(1, "here"))
	var survivor *corev1.Pod
	ran := map[string]int{}
	r.read(func() {
		for _, p := range r.podsOf(two) {
			if p.Spec.NodeName == left {
				survivor = p
			}
		}
		for _, c := range []string{one, two, name + "-3"} {
			ran[c] = len(r.ran[c])
		}
	})

	powerOff(t, lost)
	if deleted {
		remove(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: lost}})
	} else {
		r.await(waitTimeout, r.nodeReady(lost, false))
	}
	off := time.Now()
	r.await(lostNodeTimeout,
		r.seen(one, 1, left), r.seen(two, 1, left), r.seen(name+"-3", 1, left),
		r.took(one, left), r.took(two, left), r.readyOn("here", left))
	t.Logf("%s took over %v after the node was known to be away", left, time.Since(off).Round(time.Second))

	powerOn(t, lost)
	r.await(waitTimeout, r.nodeReady(lost, true))
	settled(t)
	r.await(waitTimeout,
		r.seen(one, 1, all()...), r.seen(two, 1, all()...), r.seen(name+"-3", 1, all()...),
		r.brokers(one, 1), r.brokersOn(one, left), r.brokers(two, 2),
		r.running(1, "here", "there"), r.readyOn("here", left), r.waiting(1, "there"))
	before := r.uids(one, two)
	started := restarts(t)
	r.throughout(10*time.Second, r.unchanged(before, one, two), r.readyOn("here", left), r.waiting(1, "there"))
	if again := startedAgain(t, started); len(again) > 0 {
		t.Errorf("containers were started again when all was well, those of %v", again)
	}
	r.read(func() {
		if r.pods[survivor.UID] == nil {
			t.Errorf("broker %s on the other node did not survive", survivor.Name)
		}
		// The broker that moved, and those that came back; no Instance anew. A
		// broker may be tried and taken back while the node that is back still
		// has its old slot: the agent lets go of it a while later.
		for c, more := range map[string]int{one: 1, two: 1, name + "-3": 0} {
			if got := len(r.ran[c]) - ran[c]; got != more {
				t.Errorf("%d Instances and brokers of %s came to be meanwhile, want %d", got, c, more)
			}
		}
	})
}

// controllerOnEach has a controller on each node, as after an install. After a
// drain both are on one; if that one is lost, Kubernetes takes its time to move
// them, and nothing of ours runs until then.
func controllerOnEach(t *testing.T) {
	t.Helper()
	ready := func() (counts map[string]int, pods []corev1.Pod) {
		counts = map[string]int{}
		for _, node := range all() {
			for _, p := range podsOn(t, "akri-controller", node) {
				pods = append(pods, p)
				if testcluster.IsReady(&p) {
					counts[node]++
				}
			}
		}
		return counts, pods
	}
	var pods []corev1.Pod
	waitFor(t, func() error {
		var counts map[string]int
		counts, pods = ready()
		if a, b := all()[0], all()[1]; counts[a]+counts[b] != 2 || len(pods) != 2 {
			return fmt.Errorf("ready controllers are %v of %d Pods, want 2", counts, len(pods))
		}
		return nil
	})
	if pods[0].Spec.NodeName != pods[1].Spec.NodeName {
		return
	}
	remove(t, &pods[0])
	waitFor(t, func() error {
		counts, now := ready()
		if len(counts) != 2 || len(now) != 2 {
			return fmt.Errorf("ready controllers are %v of %d Pods, want one on each node", counts, len(now))
		}
		return nil
	})
}

// took complains unless a node has a ready broker of a Configuration and all
// slots that are held.
func (r *record) took(configuration, node string) look {
	return func() error {
		for _, i := range r.instancesOf(configuration) {
			for slot, holder := range held(i) {
				if holder != node {
					return fmt.Errorf("slot %s is held by %s, want %s", slot, holder, node)
				}
			}
		}
		return r.readyOn(configuration, node)()
	}
}

// readyOn complains unless a Pod of a user is ready on a node.
func (r *record) readyOn(user, node string) look {
	return func() error {
		for _, p := range r.podsOf(user) {
			if p.Spec.NodeName == node && testcluster.IsReady(p) {
				return nil
			}
		}
		return fmt.Errorf("no Pod of %s is ready on %s", user, node)
	}
}

// powerOff cuts a node's power. It comes back after the test.
func powerOff(t *testing.T, node string) {
	t.Helper()
	t.Cleanup(func() {
		powerOn(t, node)
		ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
		defer cancel()
		if err := bed.WaitNodesReady(ctx); err != nil {
			t.Errorf("after the test: %v", err)
		}
	})
	if err := bed.StopNode(t.Context(), number(node)); err != nil {
		t.Fatal(err)
	}
}

func powerOn(t *testing.T, node string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	if err := bed.StartNode(ctx, number(node)); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the components of each node are ready and no Pod of the
// release is on its way out.
func settled(t *testing.T) {
	t.Helper()
	var sets appsv1.DaemonSetList
	if err := api.List(t.Context(), &sets, client.InNamespace(testcluster.Namespace)); err != nil {
		t.Fatal(err)
	}
	components := len(sets.Items)
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := api.List(ctx, &pods, client.InNamespace(testcluster.Namespace)); err != nil {
			return err
		}
		ready := map[string]int{}
		for _, p := range pods.Items {
			if p.DeletionTimestamp != nil {
				return fmt.Errorf("Pod %s is still there: %s", p.Name, state(&p))
			}
			if owner := metav1.GetControllerOf(&p); owner != nil && owner.Kind == "DaemonSet" && testcluster.IsReady(&p) {
				ready[p.Spec.NodeName]++
			}
		}
		for _, node := range all() {
			if ready[node] != components {
				return fmt.Errorf("%d components are ready on %s, want %d", ready[node], node, components)
			}
		}
		return nil
	})
}

// restarts returns how often containers of the release were started again, by
// the name and UID of their Pod. Pods that are on their way out do not count.
func restarts(t *testing.T) map[string]int32 {
	t.Helper()
	var pods corev1.PodList
	if err := api.List(t.Context(), &pods, client.InNamespace(testcluster.Namespace)); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int32{}
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			if p.DeletionTimestamp == nil {
				counts[p.Name+" "+string(p.UID)] += c.RestartCount
			}
		}
	}
	return counts
}

// startedAgain returns the Pods of the release whose containers were started
// again since.
func startedAgain(t *testing.T, since map[string]int32) (pods []string) {
	t.Helper()
	for pod, n := range restarts(t) {
		if n > since[pod] {
			pods = append(pods, pod)
		}
	}
	return pods
}
