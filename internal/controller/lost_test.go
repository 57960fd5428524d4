//go:build integration

package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/controller/node"
)

// The periods of these tests. They assert only that nothing happens too early.
const (
	nodeGrace         = 8 * time.Second
	lastGrace         = 40 * time.Second
	resourceRetention = 2 * time.Second
)

// Nodes that are lost. The tests run in parallel, since most of their time is
// waiting; each has its own nodes, named after the test.
func TestLostNodes(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.nodes(t, "witness")
	// A node that was deleted while no controller ran.
	down := c.space(t, "down")
	cam := down.configuration("cam", "{}")
	ghost := down.instance(cam, "cam-000000", 1, false, "ghost")
	// One that its last agent left, and had not deleted when it ended.
	abandoned := down.instance(cam, "cam-000001", 1, true)
	c.start(t, func(o *controller.Options) {
		o.NodeGrace = node.Grace{Node: nodeGrace, Last: lastGrace}
		o.ResourceRetention = resourceRetention
	})
	down.gone(ghost)
	down.gone(abandoned)
	t.Run("all", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			run  func(*space)
		}{
			{"deleted", testNodeDeleted},
			{"away", testNodeAway},
			{"back-before", testNodeBackBefore},
			{"back-after", testNodeBackAfter},
			{"two-lost", testTwoNodesLost},
			{"slots", testSlotsOfLostNodes},
			{"agent-goes-on", testAgentGoesOn},
			{"left-over", testLeftOverResources},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s := c.space(t, tt.name)
				c.nodes(t, tt.name+"-a", tt.name+"-b", tt.name+"-c")
				tt.run(s)
			})
		}
	})
	if log := c.log.String(); strings.Contains(log, "forbidden") || strings.Contains(log, "panic") {
		t.Errorf("the log has something that must not be there")
	}
}

// nodeStatus changes the status of a Node.
func (s *space) nodeStatus(name string, change func(*corev1.NodeStatus)) {
	s.t.Helper()
	s.eventually("status of Node "+name, func() error {
		n := &corev1.Node{}
		if err := s.admin.Get(s.t.Context(), client.ObjectKey{Name: name}, n); err != nil {
			return err
		}
		change(&n.Status)
		return s.admin.Status().Update(s.t.Context(), n)
	})
}

// ready plays the node life cycle controller.
func (s *space) ready(name string, status corev1.ConditionStatus) {
	s.t.Helper()
	s.nodeStatus(name, func(st *corev1.NodeStatus) {
		st.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	})
}

// deleteNode deletes a Node.
func (s *space) deleteNode(name string) {
	s.t.Helper()
	if err := s.admin.Delete(s.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		s.t.Fatal(err)
	}
}

// hold writes slots into an Instance as agents do.
func (s *space) hold(inst *v0.Instance, usage map[string]string) {
	s.t.Helper()
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.DeviceUsage = usage })
}

// becomes waits until an Instance has these nodes and slots.
func (s *space) becomes(inst *v0.Instance, usage map[string]string, nodes ...string) {
	s.t.Helper()
	s.eventually("nodes of "+inst.Name, func() error {
		now := &v0.Instance{}
		if err := s.admin.Get(s.t.Context(), client.ObjectKeyFromObject(inst), now); err != nil {
			return err
		}
		if !slices.Equal(now.Spec.Nodes, nodes) || fmt.Sprint(now.Spec.DeviceUsage) != fmt.Sprint(usage) {
			return fmt.Errorf("have %v %v, want %v %v", now.Spec.Nodes, now.Spec.DeviceUsage, nodes, usage)
		}
		return nil
	})
}

func testNodeDeleted(s *space) {
	a, b := s.ns+"-a", s.ns+"-b"
	conf := s.configuration("cam", brokerSpec)
	other := s.configuration("other", "{}")
	s.eventually("status", func() error {
		s.get("other", other)
		other.Status.Nodes = []v0.ConfigurationNode{{Name: b, State: v0.DiscoveryActive}, {Name: a, State: v0.DiscoveryActive}}
		return s.admin.Status().Update(s.t.Context(), other)
	})
	shared := s.instance(other, "other-000000", 2, true, a, b)
	s.eventually("status", func() error {
		s.get(shared.Name, shared)
		shared.Status.Nodes = []v0.InstanceNode{{Name: a, State: v0.DeviceOffline}}
		return s.admin.Status().Update(s.t.Context(), shared)
	})
	s.hold(shared, map[string]string{"other-000000-0": a, "other-000000-1": "C:other-000000-1:" + b})
	local := s.instance(conf, "cam-000001", 1, false, a)
	pod := s.pod("cam-000001-pod")
	s.run(pod, a)

	s.deleteNode(a)
	s.becomes(shared, map[string]string{"other-000000-1": "C:other-000000-1:" + b}, b)
	s.gone(local)
	s.kill(pod)
	s.brokers()
	s.eventually("entries of the node", func() error {
		s.get("other", other)
		s.get(shared.Name, shared)
		if len(other.Status.Nodes) != 1 || other.Status.Nodes[0].Name != b || len(shared.Status.Nodes) != 0 {
			return fmt.Errorf("have %+v and %+v", other.Status.Nodes, shared.Status.Nodes)
		}
		return nil
	})
	s.event(shared.Name, "NodeLost")
	s.event(local.Name, "NodeLost")
}

// A device that three nodes see: its broker moves away from a lost node,
// although its Pod there does not end.
func testNodeAway(s *space) {
	conf := s.configuration("cam", brokerSpec+"instanceServiceSpec: {ports: [{port: 80}]}\n")
	inst := s.instance(conf, "cam-000000", 1, true, s.ns+"-a", s.ns+"-b", s.ns+"-c")
	pod := s.one()
	lost := pod.Labels[v0.LabelTargetNode]
	s.run(pod, lost)
	s.hold(inst, map[string]string{"cam-000000-0": "C:cam-000000-0:" + lost})
	svc := &corev1.Service{}
	s.eventually("Service", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-000000-svc"}, svc)
	})
	local := s.instance(conf, "cam-000001", 1, false, lost)
	s.run(s.pod("cam-000001-pod"), lost)

	since := time.Now()
	s.ready(lost, corev1.ConditionUnknown)
	rest := slices.DeleteFunc([]string{s.ns + "-a", s.ns + "-b", s.ns + "-c"}, func(n string) bool { return n == lost })
	s.becomes(inst, nil, rest...)
	if d := time.Since(since); d < nodeGrace {
		s.t.Errorf("the node left after %s", d)
	}
	s.get(local.Name, local)
	s.get(pod.Name, &pod)
	second := s.one(pod)
	if n := second.Labels[v0.LabelTargetNode]; n == lost || second.Name == pod.Name {
		s.t.Errorf("the second broker is %s on %s", second.Name, n)
	}
	s.run(second, second.Labels[v0.LabelTargetNode])
	s.hold(inst, map[string]string{"cam-000000-0": second.Labels[v0.LabelTargetNode]})
	s.eventually("the old Pod is to go", func() error {
		s.get(pod.Name, &pod)
		if pod.DeletionTimestamp == nil {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	now := &corev1.Service{}
	s.get(svc.Name, now)
	if now.UID != svc.UID || now.Spec.Selector[v0.LabelInstance] != inst.Name {
		s.t.Errorf("the Service was %+v, is %+v", svc, now)
	}
	// What only that node sees stays longer.
	s.gone(local)
	if d := time.Since(since); d < lastGrace {
		s.t.Errorf("the Instance of the one node went after %s", d)
	}
	// The node is back, its kubelet ends the Pod, its agent joins again.
	s.ready(lost, corev1.ConditionTrue)
	s.kill(pod)
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.Nodes = append(i.Spec.Nodes, lost) })
	s.gone(&pod)
	if last := s.one(); last.UID != second.UID {
		s.t.Errorf("the broker is %s now", last.Name)
	}
}

// one waits for the one broker of a namespace that is for no local device,
// other than those given.
func (s *space) one(not ...corev1.Pod) corev1.Pod {
	s.t.Helper()
	var found []corev1.Pod
	s.eventually("one broker", func() error {
		list := &corev1.PodList{}
		if err := s.admin.List(s.t.Context(), list, client.InNamespace(s.ns), client.MatchingLabels{v0.LabelInstance: "cam-000000"}); err != nil {
			return err
		}
		found = slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
			return p.DeletionTimestamp != nil || slices.ContainsFunc(not, func(n corev1.Pod) bool { return n.UID == p.UID })
		})
		if len(found) != 1 {
			return fmt.Errorf("there are %d", len(found))
		}
		return nil
	})
	return found[0]
}

func testNodeBackBefore(s *space) {
	a, b, c := s.ns+"-a", s.ns+"-b", s.ns+"-c"
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-000000", 3, true, a, b, c)
	s.brokers(a+"-cam-000000-pod", b+"-cam-000000-pod", c+"-cam-000000-pod")
	back := s.pod(a + "-cam-000000-pod")
	for _, n := range []string{a, b, c} {
		s.run(s.pod(n+"-cam-000000-pod"), n)
	}
	s.hold(inst, map[string]string{"cam-000000-0": a, "cam-000000-1": b})
	s.ready(a, corev1.ConditionUnknown)
	s.ready(a, corev1.ConditionTrue)
	s.ready(b, corev1.ConditionUnknown) // the one by which we see that time has passed
	s.becomes(inst, map[string]string{"cam-000000-0": a}, a, c)
	if now := s.pod(back.Name); now.UID != back.UID {
		s.t.Error("its broker was replaced")
	}
}

func testNodeBackAfter(s *space) {
	a, b := s.ns+"-a", s.ns+"-b"
	conf := s.configuration("cam", "{}")
	inst := s.instance(conf, "cam-000000", 1, true, a, b)
	for i := range 2 {
		s.ready(a, corev1.ConditionFalse)
		s.becomes(inst, nil, b)
		s.ready(a, corev1.ConditionTrue)
		// Else it may miss that, and then leaves the node alone next time.
		s.eventually("the controller sees that the node is back", func() error {
			seen := 0
			for line := range strings.Lines(s.log.String()) {
				if strings.Contains(line, "lost node is back") && strings.Contains(line, "node="+a) {
					seen++
				}
			}
			if seen != i+1 {
				return fmt.Errorf("its log says so %d times, want %d", seen, i+1)
			}
			return nil
		})
		update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.Nodes = []string{b, a} })
	}
}

func testTwoNodesLost(s *space) {
	a, b, c := s.ns+"-a", s.ns+"-b", s.ns+"-c"
	conf := s.configuration("cam", brokerSpec)
	three := s.instance(conf, "cam-000000", 2, true, a, b, c)
	two := s.instance(conf, "cam-000001", 1, true, a, b)
	s.hold(three, map[string]string{"cam-000000-0": a, "cam-000000-1": b})
	since := time.Now()
	s.ready(a, corev1.ConditionUnknown)
	s.ready(b, corev1.ConditionUnknown)
	s.becomes(three, nil, c)
	s.pod(c + "-cam-000000-pod")
	s.gone(two)
	if d := time.Since(since); d < lastGrace {
		s.t.Errorf("what two nodes see went after %s", d)
	}
}

// Slots of nodes that no longer see the device.
func testSlotsOfLostNodes(s *space) {
	a, b, c := s.ns+"-a", s.ns+"-b", s.ns+"-c"
	conf := s.configuration("cam", "{}")
	inst := s.instance(conf, "cam-000000", 6, true, c)
	s.hold(inst, map[string]string{
		"cam-000000-0": a, "cam-000000-1": b, "cam-000000-2": "C:cam-000000-2:" + a,
		"cam-000000-3": "never-was", "cam-000000-4": "C:what", "cam-000000-5": c,
	})
	s.ready(a, corev1.ConditionUnknown)
	// A healthy node frees its slots itself.
	s.becomes(inst, map[string]string{"cam-000000-1": b, "cam-000000-4": "C:what", "cam-000000-5": c}, c)
	s.deleteNode(b)
	s.becomes(inst, map[string]string{"cam-000000-4": "C:what", "cam-000000-5": c}, c)
}

// A node's kubelet has stopped but its agent has not: it joins again.
func testAgentGoesOn(s *space) {
	a, b := s.ns+"-a", s.ns+"-b"
	conf := s.configuration("cam", "{}")
	inst := s.instance(conf, "cam-000000", 1, true, a, b)
	s.ready(a, corev1.ConditionFalse)
	s.becomes(inst, nil, b)
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.Nodes = []string{b, a} })
	s.eventually("the controller gives way", func() error {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, "left alone") && strings.Contains(line, a) {
				return nil
			}
		}
		return fmt.Errorf("its log does not say so")
	})
	s.becomes(inst, nil, b, a)
}

func testLeftOverResources(s *space) {
	a, b := s.ns+"-a", s.ns+"-b"
	kept := s.configuration("kept", "{}")
	inst := s.instance(kept, "kept-000000", 1, false, a)
	zero, two := resource.MustParse("0"), resource.MustParse("2")
	resources := corev1.ResourceList{
		"akri.sh/gone-000000": zero, "akri.sh/kept": zero, "akri.sh/kept-000000": zero,
		"akri.sh/grace-000000": two, "example.com/gone": zero,
	}
	allocatable := resources.DeepCopy()
	allocatable["akri.sh/grace-000000"] = zero
	for _, n := range []string{a, b} {
		s.nodeStatus(n, func(st *corev1.NodeStatus) { st.Capacity, st.Allocatable = resources, allocatable })
	}
	have := func(node string, names ...corev1.ResourceName) {
		s.t.Helper()
		s.eventually("resources of "+node, func() error {
			n := &corev1.Node{}
			if err := s.admin.Get(s.t.Context(), client.ObjectKey{Name: node}, n); err != nil {
				return err
			}
			for _, list := range []corev1.ResourceList{n.Status.Capacity, n.Status.Allocatable} {
				var got []corev1.ResourceName
				for name := range list {
					got = append(got, name)
				}
				slices.Sort(got)
				if !slices.Equal(got, names) {
					return fmt.Errorf("have %v, want %v", got, names)
				}
			}
			return nil
		})
	}
	have(a, "akri.sh/grace-000000", "akri.sh/kept", "akri.sh/kept-000000", "example.com/gone")
	have(b, "akri.sh/grace-000000", "akri.sh/kept", "akri.sh/kept-000000", "example.com/gone")
	// The Instance goes; nothing else changes on the nodes.
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	have(a, "akri.sh/grace-000000", "akri.sh/kept", "example.com/gone")
	have(b, "akri.sh/grace-000000", "akri.sh/kept", "example.com/gone")
	// The kubelet's grace period is over.
	s.nodeStatus(a, func(st *corev1.NodeStatus) { st.Capacity["akri.sh/grace-000000"] = zero })
	have(a, "akri.sh/kept", "example.com/gone")
	if err := s.admin.Delete(s.t.Context(), kept); err != nil && !apierrors.IsNotFound(err) {
		s.t.Fatal(err)
	}
	have(a, "example.com/gone")
}
