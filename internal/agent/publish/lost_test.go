//go:build integration

package publish

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/controller/node"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/internal/jsonpatch"
)

// lose does to an Instance what the controller does when a node is lost.
func (s *fixture) lose(name types.NamespacedName, lost string) {
	s.t.Helper()
	s.eventually("node "+lost+" leaves", func() error {
		o := s.instance(name)
		if o == nil {
			return fmt.Errorf("there is no Instance")
		}
		state := node.State{
			Node: node.Node{Name: lost, Gone: true},
			Instance: node.Instance{
				UID: o.UID, ResourceVersion: o.ResourceVersion, Shared: o.Spec.Shared,
				Nodes: o.Spec.Nodes, Usage: o.Spec.DeviceUsage,
			},
		}
		plan := node.Plan(state)
		if plan.Delete {
			s.delete(s.path("instances") + "/" + name.Name)
			return nil
		}
		patch, err := node.Patch(state, plan)
		if err != nil {
			return err
		}
		return s.admin.Patch(types.JSONPatchType).AbsPath(s.path("instances")+"/"+name.Name).
			Param("fieldManager", "akri-controller").Body(patch).Do(s.t.Context()).Error()
	})
}

// becomes waits until an Instance has these nodes and slots.
func (s *fixture) becomes(name types.NamespacedName, usage map[string]string, nodes ...string) *v0.Instance {
	s.t.Helper()
	return s.eventuallyInstance("nodes and slots", name, func(o *v0.Instance) error {
		if fmt.Sprint(o.Spec.DeviceUsage) != fmt.Sprint(usage) {
			return fmt.Errorf("slots are %v, want %v", o.Spec.DeviceUsage, usage)
		}
		return nodesAre(nodes...)(o)
	})
}

func (s *fixture) healthy(n *testNode, name types.NamespacedName) {
	s.t.Helper()
	if p := n.problem(name); p != "" {
		s.t.Errorf("node %s has the problem %q", n.name, p)
	}
}

// TestLostNodeIsBack: the leader of an Instance was cut off, the controller
// took it out, and another node has its slot. When it is back it joins again,
// last, and steals nothing.
func TestLostNodeIsBack(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA := s.device("node-a", "camera", true, map[string]string{"K": "of a"})
	onB := s.device("node-b", "camera", true, map[string]string{"K": "of b"})
	onB.Capacity = 3
	name := onA.Instance
	slot0, slot1 := v0.SlotID(name.Name, 0), v0.SlotID(name.Name, 1)

	a.DeviceChanged(onA)
	s.becomes(name, nil, "node-a")
	b.DeviceChanged(onB)
	b.settled(name, nil)
	a.settled(name, map[string]v0.Usage{slot0: a.usageOf(), slot1: a.usageOf()})
	s.becomes(name, map[string]string{slot0: "node-a", slot1: "node-a"}, "node-a", "node-b")
	a.stop()

	s.lose(name, "node-a")
	s.becomes(name, nil, "node-b")
	b.settled(name, map[string]v0.Usage{slot0: b.usageOf()})
	s.eventuallyInstance("the new leader's facts", name, func(o *v0.Instance) error {
		if o.Spec.BrokerProperties["K"] != "of b" || o.Spec.Capacity != 3 {
			return fmt.Errorf("it is %+v", o.Spec)
		}
		return nil
	})

	// Its ledger still has both slots.
	a = startNode(t, "node-a")
	a.Record(name, map[string]v0.Usage{slot0: a.usageOf(), slot1: a.usageOf()})
	a.DeviceChanged(onA)
	o := s.becomes(name, map[string]string{slot0: "node-b", slot1: "node-a"}, "node-b", "node-a")
	if o.Spec.BrokerProperties["K"] != "of b" || o.Spec.Capacity != 3 {
		t.Errorf("it changed the leader's facts: %+v", o.Spec)
	}
	s.eventually("it knows who has the slot", func() error {
		if u, _ := a.observed(name); u[slot0].Node != "node-b" {
			return fmt.Errorf("it thinks %v", u)
		}
		return nil
	})
	s.healthy(a, name)
	s.healthy(b, name)

	// Each still owns what is its own: when b leaves, a stays.
	b.DeviceGone(onB)
	b.settled(name, map[string]v0.Usage{})
	s.eventuallyInstance("a leads", name, func(o *v0.Instance) error {
		if o.Spec.BrokerProperties["K"] != "of a" || o.Spec.Capacity != 2 {
			return fmt.Errorf("it is %+v", o.Spec)
		}
		return nodesAre("node-a")(o)
	})
}

// TestLostNodeGoesOn: only its kubelet had stopped. It takes its place and its
// slot again at once.
func TestLostNodeGoesOn(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA, onB := s.device("node-a", "camera", true, nil), s.device("node-b", "camera", true, nil)
	name := onA.Instance
	slot := v0.SlotID(name.Name, 0)
	a.DeviceChanged(onA)
	s.becomes(name, nil, "node-a")
	b.DeviceChanged(onB)
	b.settled(name, nil)
	a.settled(name, map[string]v0.Usage{slot: a.usageOf()})
	s.lose(name, "node-a")
	s.becomes(name, map[string]string{slot: "node-a"}, "node-b", "node-a")
	s.healthy(a, name)
}

// TestLostLocalDevice: the Instance of the one node that has the device was
// deleted while the node was away.
func TestLostLocalDevice(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "usb/1-2", false, map[string]string{"K": "1"})
	slot := v0.SlotID(d.Instance.Name, 0)
	a.DeviceChanged(d)
	first := s.becomes(d.Instance, nil, "node-a")
	a.settled(d.Instance, map[string]v0.Usage{slot: a.usageOf()})
	a.stop()
	s.lose(d.Instance, "node-a")
	s.eventuallyGone(d.Instance)

	a = startNode(t, "node-a")
	a.Record(d.Instance, map[string]v0.Usage{slot: a.usageOf()})
	a.DeviceChanged(d)
	again := s.becomes(d.Instance, map[string]string{slot: "node-a"}, "node-a")
	if again.UID == first.UID {
		t.Error("it is the old one")
	}
	s.healthy(a, d.Instance)
}

// A shared device leaves all nodes while containers still have its slots. When it
// is back, the first node that sees it knows of them; without them, and without
// the device, there is no Instance.
func TestDeviceIsBackWhileSlotsAreHeld(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA, onB := s.device("node-a", "camera", true, nil), s.device("node-b", "camera", true, nil)
	name := onA.Instance
	slot0, slot1 := v0.SlotID(name.Name, 0), v0.SlotID(name.Name, 1)
	a.DeviceChanged(onA)
	s.becomes(name, nil, "node-a")
	b.DeviceChanged(onB)
	b.settled(name, map[string]v0.Usage{slot0: b.usageOf()})
	a.settled(name, map[string]v0.Usage{slot1: a.usageOf()})
	was := s.becomes(name, map[string]string{slot0: "node-b", slot1: "node-a"}, "node-a", "node-b")

	b.DeviceGone(onB)
	s.becomes(name, map[string]string{slot0: "node-b", slot1: "node-a"}, "node-a")
	a.DeviceGone(onA)
	s.becomes(name, map[string]string{slot0: "node-b", slot1: "node-a"})
	a.Record(name, nil)
	s.becomes(name, map[string]string{slot0: "node-b"})
	if err := b.Claim(t.Context(), name, map[string]v0.Usage{slot0: b.usageOf(), slot1: b.usageOf()}); !errors.Is(err, ErrNoInstance) {
		t.Errorf("a slot of a device that no node sees: %v", err)
	}

	a.DeviceChanged(onA)
	s.becomes(name, map[string]string{slot0: "node-b"}, "node-a")
	if err := a.Claim(t.Context(), name, map[string]v0.Usage{slot0: a.usageOf()}); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("a slot that a container on another node has: %v", err)
	}
	a.Record(name, nil)
	if o := s.becomes(name, map[string]string{slot0: "node-b"}, "node-a"); o.UID != was.UID {
		t.Error("there was another Instance meanwhile")
	}
	a.DeviceGone(onA)
	s.becomes(name, map[string]string{slot0: "node-b"})
	b.Record(name, nil)
	s.eventuallyGone(name)
}

// An Instance is deleted by somebody, and made again by a node that does not know
// of the slot that a container on a node without the device has.
func TestMadeAgainWhileASlotIsHeld(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA := s.device("node-a", "camera", true, nil)
	name := onA.Instance
	slot := v0.SlotID(name.Name, 0)
	b.Record(name, map[string]v0.Usage{slot: b.usageOf()})
	a.DeviceChanged(onA)
	s.becomes(name, map[string]string{slot: "node-b"}, "node-a")
	s.delete(s.path("instances") + "/" + name.Name)
	s.becomes(name, map[string]string{slot: "node-b"}, "node-a")
	s.healthy(a, name)
	s.healthy(b, name)
}

// An agent ended after its node had left an Instance, and before the status said
// so.
func TestLeftoverInStatus(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", true, nil)
	a.DeviceChanged(d)
	s.becomes(d.Instance, nil, "node-a")
	s.patch(s.path("instances")+"/"+d.Instance.Name+"/status", `{"status":{"nodes":[{"name":"node-b","state":"Offline"}]}}`)
	b := startNode(t, "node-b")
	s.eventuallyInstance("without it", d.Instance, func(o *v0.Instance) error {
		if len(o.Status.Nodes) > 0 {
			return fmt.Errorf("status is %+v", o.Status.Nodes)
		}
		return nil
	})
	s.eventually("it is forgotten", func() error {
		b.Publisher.mu.Lock()
		defer b.Publisher.mu.Unlock()
		if b.goals[d.Instance] != nil || b.Publisher.observed[d.Instance] != nil {
			return errors.New("it is known still")
		}
		return nil
	})
}

// The Instance of a shared device is the record of what containers of other nodes
// have, also when no other node sees the device: no agent can delete it.
func TestRecordOfOthersSlots(t *testing.T) {
	s := newFixture(t)
	d := s.device("node-x", "camera", true, nil)
	name := d.Instance
	slot := v0.SlotID(name.Name, 0)
	s.makeAs("node-x", d, func(*Object) {})
	b := startNode(t, "node-b")
	b.Record(name, map[string]v0.Usage{slot: b.usageOf()})
	s.becomes(name, map[string]string{slot: "node-b"}, "node-x")
	cs, err := kubernetes.NewForConfig(chartuser.Agent(server.Config, "node-x"))
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string) {
		t.Helper()
		err := cs.Discovery().RESTClient().Delete().AbsPath(s.path("instances") + "/" + name.Name).Do(t.Context()).Error()
		if err == nil || !strings.Contains(err.Error(), "only when no other node holds a slot") {
			t.Errorf("%s: %v", what, err)
		}
	}
	try("the only node")
	ops, err := jsonpatch.Encode(removeNode(0, "node-x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.admin.Patch(types.JSONPatchType).AbsPath(s.path("instances") + "/" + name.Name).Body(ops).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	s.becomes(name, map[string]string{slot: "node-b"})
	try("without nodes")
	b.Record(name, map[string]v0.Usage{slot: {Node: "node-b", Door: v0.DoorConfiguration, VirtualDevice: "pumps-0"}})
	s.becomes(name, map[string]string{slot: "C:pumps-0:node-b"})
	try("through the other door")
	b.Record(name, nil)
	s.eventuallyGone(name)
}
