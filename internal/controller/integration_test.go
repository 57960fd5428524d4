//go:build integration

package controller_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/freeport"
)

const brokerSpec = `
brokerSpec:
  brokerPodSpec:
    containers:
    - name: broker
      image: broker
      resources: {limits: {"{{PLACEHOLDER}}": "1"}}
`

// These have a controller each, which would not leave the others' objects alone. So
// they take turns with one API server.
func TestInTurn(t *testing.T) {
	t.Parallel()
	t.Run("dead-agent", testDeadAgent)
	t.Run("leader-killed", testLeaderKilled)
	t.Run("lease-is-the-pods", testLeaseIsThePods)
}

// The whole controller on a real API server. The tests share it and have a
// namespace each; they play scheduler and kubelet.
func TestController(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.nodes(t, "node-a", "node-b", "node-c")
	registry := prometheus.NewRegistry()
	metrics, probes := freeport.Address(t), freeport.Address(t)
	stop := c.start(t, func(o *controller.Options) {
		o.Metrics, o.MetricsAddress, o.ProbeAddress = registry, metrics, probes
	})

	for _, tt := range []struct {
		name string
		run  func(*space)
	}{
		{"create-and-delete", testCreateAndDelete},
		{"spec-survives", testSpecSurvives},
		{"rollout", testRollOut},
		{"backoff", testBackoff},
		{"deleted-by-user", testDeletedByUser},
		{"replugged", testReplugged},
		{"spec-removed", testSpecRemoved},
		{"shared", testShared},
		{"next-node", testNextNode},
		{"offline", testOffline},
		{"held", testHeldConfiguration},
		{"foreign-pods", testForeignPods},
		{"refused", testRefused},
		{"instance-service", testInstanceService},
		{"configuration-service", testConfigurationService},
		{"foreign-service", testForeignService},
		{"job", testJob},
		{"stuck-job", testStuckJob},
		{"in-place", testInPlace},
		{"pod-job-pod", testPodJobPod},
		{"no-finalizers", testNoFinalizers},
		{"conditions", testConditions},
		{"broken-broker", testBrokenBroker},
		{"device-changed", testDeviceChanged},
		{"users-device-changed", testUsersDeviceChanged},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(c.space(t, tt.name)) })
	}
	t.Run("twins", func(t *testing.T) { testTwins(c.space(t, "twins"), c.space(t, "twins-elsewhere")) })
	t.Run("ports", func(t *testing.T) { testPorts(c.space(t, "ports"), metrics, probes) })
	t.Run("two-namespaces", func(t *testing.T) {
		testTwoNamespaces(c.space(t, "two-a"), c.space(t, "two-b"))
	})
	t.Run("metric", func(t *testing.T) { testMetric(c.space(t, "metric"), registry) })
	t.Run("latency", func(t *testing.T) { testLatency(c.space(t, "latency"), registry) })
	t.Run("while-down", func(t *testing.T) { testWhileDown(c.space(t, "while-down"), stop) })
	// What Pod Security says of the stuck Job has the word, too.
	if log := strings.ReplaceAll(c.log.String(), "is forbidden: violates PodSecurity", ""); strings.Contains(log, "forbidden") || strings.Contains(log, "panic") {
		t.Errorf("the log has something that must not be there")
	}
}

func testCreateAndDelete(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	if q := pod.Spec.Containers[0].Resources.Requests["akri.sh/cam-4294ea"]; q.Value() != 1 {
		s.t.Errorf("requests %v, want one akri.sh/cam-4294ea", pod.Spec.Containers[0].Resources.Requests)
	}
	for k, want := range map[string]string{
		v0.LabelApp: "cam-4294ea-pod", v0.LabelController: "akri.sh", v0.LabelConfiguration: "cam",
		v0.LabelInstance: "cam-4294ea", v0.LabelTargetNode: "node-a",
	} {
		if pod.Labels[k] != want {
			s.t.Errorf("label %s = %q, want %q", k, pod.Labels[k], want)
		}
	}
	if ref := metav1.GetControllerOf(&pod); ref == nil || ref.UID != inst.UID || ref.BlockOwnerDeletion == nil || !*ref.BlockOwnerDeletion {
		s.t.Errorf("controlling owner %+v, want the Instance", ref)
	}
	s.event("cam-4294ea", "BrokerCreated")
	s.run(pod, "node-a")

	// There is no garbage collector here: the controller deletes the Pod.
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	s.kill(pod)
	s.gone(&pod)
	s.brokers()
}

func testSpecSurvives(s *space) {
	conf := s.configuration("cam", `
brokerSpec:
  brokerPodSpec:
    fieldOfAFutureKubernetes: {kept: true}
    resourceClaims: [{name: gpu, resourceClaimName: claim}]
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms:
          - matchExpressions: [{key: camera, operator: Exists}]
          - matchExpressions: [{key: lens, operator: Exists}]
    initContainers:
    - name: init
      image: i
      resources: {limits: {"{{PLACEHOLDER}}": "1"}}
    containers:
    - name: broker
      image: broker
      resources:
        limits: {"{{PLACEHOLDER}}": "2"}
        claims: [{name: gpu}]
`)
	// What the API server of today does not know it drops, but it is told.
	stored := &unstructured.Unstructured{}
	stored.SetAPIVersion("akri.sh/v0")
	stored.SetKind("Configuration")
	s.get("cam", stored)
	if v, ok, _ := unstructured.NestedBool(stored.Object, "spec", "brokerSpec", "brokerPodSpec", "fieldOfAFutureKubernetes", "kept"); !ok || !v {
		s.t.Error("the Configuration lost a field that this Kubernetes does not know")
	}
	s.instance(conf, "cam-4294ea", 2, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	if got := pod.Spec.Containers[0].Resources.Claims; len(got) != 1 || got[0].Name != "gpu" {
		s.t.Errorf("claims %v, want gpu", got)
	}
	terms := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 2 {
		s.t.Fatalf("%d terms, want the user's two", len(terms))
	}
	for _, term := range terms {
		if len(term.MatchExpressions) != 1 || len(term.MatchFields) != 1 || term.MatchFields[0].Values[0] != "node-a" {
			s.t.Errorf("term %+v, want the user's expression and the node", term)
		}
	}
	if q := pod.Spec.InitContainers[0].Resources.Limits["akri.sh/cam-4294ea"]; q.Value() != 1 {
		s.t.Errorf("init container's limits %v", pod.Spec.InitContainers[0].Resources.Limits)
	}
}

func testRollOut(s *space) {
	conf := s.configuration("cam", "capacity: 2\n"+brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 2, true, "node-a", "node-b")
	s.brokers("node-a-cam-4294ea-pod", "node-b-cam-4294ea-pod")
	a, b := s.pod("node-a-cam-4294ea-pod"), s.pod("node-b-cam-4294ea-pod")
	s.run(a, "node-a")
	s.run(b, "node-b")
	s.podsSeen() // what does not run yet would be replaced at once
	s.edit("cam", "capacity: 2\n"+strings.ReplaceAll(brokerSpec, "image: broker", "image: newer"))
	s.kill(a)
	a2 := s.pod("node-a-cam-4294ea-pod", a)
	if a2.Spec.Containers[0].Image != "newer" {
		s.t.Errorf("image %s, want newer", a2.Spec.Containers[0].Image)
	}
	s.get(b.Name, &b)
	if b.DeletionTimestamp != nil {
		s.t.Error("the second broker goes before the first is back")
	}
	s.run(a2, "node-a")
	s.kill(b)
	b2 := s.pod("node-b-cam-4294ea-pod", b)
	if b2.Spec.Containers[0].Image != "newer" {
		s.t.Errorf("image %s, want newer", b2.Spec.Containers[0].Image)
	}
	s.event("cam-4294ea", "BrokerRolledOut")
	// Capacity is not part of the broker.
	s.run(b2, "node-b")
	s.edit("cam", "capacity: 3\n"+strings.ReplaceAll(brokerSpec, "image: broker", "image: newer"))
	update(s, inst.Name, inst, func(i *v0.Instance) {
		i.Spec.Capacity, i.Spec.Nodes = 3, []string{"node-a", "node-b", "node-c"}
	})
	s.brokers(a2.Name, b2.Name, "node-c-cam-4294ea-pod")
	if now := s.pod(b2.Name); now.UID != b2.UID {
		s.t.Error("a new capacity replaced a broker")
	}
}

func testBackoff(s *space) {
	conf := s.configuration("cam", brokerSpec)
	s.instance(conf, "cam-4294ea", 1, false, "node-a")
	first := s.pod("cam-4294ea-pod")
	s.run(first, "node-a")
	// It ended longer ago than its back-off.
	s.fail(first, 40*time.Second)
	second := s.pod("cam-4294ea-pod", first)
	if e := s.event("cam-4294ea", "BrokerFailed"); !strings.Contains(e.Note, "exit code 3") {
		s.t.Errorf("the Event does not tell the exit code: %s", e.Note)
	}
	// The next back-off is 20 s, and this one ended 18 s ago.
	s.run(second, "node-a")
	ended := time.Now().Add(-18 * time.Second)
	s.fail(second, 18*time.Second)
	third := s.pod("cam-4294ea-pod", second)
	if d := third.CreationTimestamp.Sub(ended); d < 19*time.Second {
		s.t.Errorf("replaced %s after its end, want 20 s", d)
	}
	var h map[string]struct{ Count int }
	if err := json.Unmarshal([]byte(third.Annotations["akri.sh/broker-failures"]), &h); err != nil || h["node-a"].Count != 2 {
		s.t.Errorf("annotation %q (%v), want two failures on node-a", third.Annotations["akri.sh/broker-failures"], err)
	}
}

func testDeletedByUser(s *space) {
	conf := s.configuration("cam", brokerSpec)
	s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	for range 5 { // no back-off grows
		s.run(pod, "node-a")
		if err := s.admin.Delete(s.t.Context(), &pod); err != nil {
			s.t.Fatal(err)
		}
		s.kill(pod)
		pod = s.pod("cam-4294ea-pod", pod)
	}
}

// Unplugged and plugged in again before the old broker has gone.
func testReplugged(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	again := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	s.kill(pod)
	next := s.pod("cam-4294ea-pod", pod)
	if ref := metav1.GetControllerOf(&next); ref == nil || ref.UID != again.UID {
		s.t.Errorf("owner %+v, want the new Instance", ref)
	}
}

func testSpecRemoved(s *space) {
	conf := s.configuration("cam", brokerSpec)
	s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.edit("cam", "{}")
	s.gone(&pod)
	s.edit("cam", brokerSpec)
	s.pod("cam-4294ea-pod", pod)
}

func testShared(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-000000", 1, true, "node-a", "node-b")
	list := &corev1.PodList{}
	s.eventually("one broker", func() error {
		if err := s.admin.List(s.t.Context(), list, client.InNamespace(s.ns)); err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("%d Pods", len(list.Items))
		}
		return nil
	})
	pod := list.Items[0]
	node := pod.Labels[v0.LabelTargetNode]
	s.run(pod, node)
	update(s, inst.Name, inst, func(i *v0.Instance) {
		i.Spec.DeviceUsage = map[string]string{"cam-000000-0": node}
	})
	// A second slot, which a stranger takes, then a third.
	update(s, inst.Name, inst, func(i *v0.Instance) {
		i.Spec.Capacity, i.Spec.DeviceUsage["cam-000000-1"] = 2, "C:cam-000000-1:node-c"
	})
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.Capacity = 3 })
	s.brokers("node-a-cam-000000-pod", "node-b-cam-000000-pod")
	// The node of the second no longer sees the device.
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.Nodes = []string{node} })
	s.brokers(pod.Name)
}

func testNextNode(s *space) {
	conf := s.configuration("cam", brokerSpec)
	s.instance(conf, "cam-000000", 1, true, "node-a", "node-b")
	other := map[string]string{"node-a": "node-b", "node-b": "node-a"}
	list := &corev1.PodList{}
	s.eventually("one broker", func() error {
		if err := s.admin.List(s.t.Context(), list, client.InNamespace(s.ns)); err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("%d Pods", len(list.Items))
		}
		return nil
	})
	pod := list.Items[0]
	first := pod.Labels[v0.LabelTargetNode]
	s.status(pod, func(st *corev1.PodStatus) {
		st.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			LastTransitionTime: metav1.NewTime(time.Now().Add(-40 * time.Second)),
		}}
	})
	second := s.pod(other[first] + "-cam-000000-pod")
	s.gone(&pod)
	s.event("cam-000000", "BrokerUnschedulable")
	// And there the kubelet denies it: back to the first node, after that
	// one's back-off.
	s.bind(second, other[first])
	s.status(second, func(st *corev1.PodStatus) {
		st.Phase, st.Reason, st.Message = corev1.PodFailed, "UnexpectedAdmissionError", "the slot is taken"
	})
	s.event("cam-000000", "BrokerDenied")
	s.pod(first + "-cam-000000-pod")
}

// Pods that only carry labels are none of ours, whatever they carry.
// Everything is keyed by namespace and name.
// What happens while no controller runs is made good by the next one.
// Of two replicas one acts; when it stops, the other takes over.
// An API server that is away, and its watches with it, costs nothing but time.
