//go:build integration

package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
)

func TestLocalDevice(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "usb/1-2", false, map[string]string{"DEV": "/dev/video0", "OLD": "x"})

	a.DeviceChanged(d)
	o := s.eventuallyInstance("made", d.Instance, nodesAre("node-a"))
	if o.Labels[v0.LabelNode] != "node-a" || o.Labels[v0.LabelConfiguration] != "cam" ||
		o.Annotations[v0.AnnotationDeviceID] != "usb/1-2" || o.OwnerReferences[0].UID != s.owner ||
		o.Spec.Capacity != 2 || o.Spec.BrokerProperties["DEV"] != "/dev/video0" || o.Spec.Shared ||
		o.Spec.CdiName != "akri.sh/cam="+d.Hash() {
		t.Errorf("made as %+v %+v", o.ObjectMeta, o.Spec)
	}
	a.settled(d.Instance, nil)
	if w := a.written(); len(w) != 1 {
		t.Errorf("a new Instance took %d writes: %v", len(w), w)
	}

	d.Reported.Properties = map[string]string{"DEV": "/dev/video1"}
	d.Capacity = 3
	a.DeviceChanged(d)
	o2 := s.eventuallyInstance("changed", d.Instance, func(o *v0.Instance) error {
		if len(o.Spec.BrokerProperties) != 1 || o.Spec.BrokerProperties["DEV"] != "/dev/video1" || o.Spec.Capacity != 3 {
			return fmt.Errorf("it is %+v", o.Spec)
		}
		return nil
	})
	if o2.UID != o.UID {
		t.Error("changing it made a new one")
	}
	a.settled(d.Instance, nil)
	if w := a.written(); len(w) != 1 {
		t.Errorf("the change took %d writes: %v", len(w), w)
	}
	d.Reported.Properties = nil
	a.DeviceChanged(d)
	s.eventuallyInstance("without properties", d.Instance, func(o *v0.Instance) error {
		if len(o.Spec.BrokerProperties) != 0 {
			return fmt.Errorf("properties are %v", o.Spec.BrokerProperties)
		}
		return nil
	})

	offline := d
	offline.State, offline.Reason, offline.Since = v0.DeviceOffline, v0.ReasonNotReported, o.CreationTimestamp.Time
	a.DeviceChanged(offline)
	s.eventuallyInstance("offline", d.Instance, func(o *v0.Instance) error {
		if n := o.Status.Nodes; len(n) != 1 || n[0].State != v0.DeviceOffline || n[0].Reason != v0.ReasonNotReported {
			return fmt.Errorf("status is %+v", n)
		}
		return nil
	})
	a.DeviceChanged(d)
	s.eventuallyInstance("online", d.Instance, func(o *v0.Instance) error {
		if len(o.Status.Nodes) != 0 {
			return fmt.Errorf("status is %+v", o.Status.Nodes)
		}
		return nil
	})

	a.DeviceGone(d)
	s.eventuallyGone(d.Instance)
	a.DeviceChanged(d)
	s.eventuallyInstance("plugged again", d.Instance, nodesAre("node-a"))
}

func TestUnchangedIsNotWritten(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	local := s.device("node-a", "local", false, map[string]string{"K": "1"})
	onA := s.device("node-a", "camera", true, map[string]string{"K": "1"})
	onB := s.device("node-b", "camera", true, map[string]string{"K": "1"})
	offline := s.device("node-a", "away", false, nil)
	offline.State, offline.Reason = v0.DeviceOffline, v0.ReasonHandlerGone
	slot := map[string]v0.Usage{v0.SlotID(onA.Instance.Name, 1): b.usageOf()}

	a.DeviceChanged(local)
	a.DeviceChanged(onA)
	s.eventuallyInstance("a has it", onA.Instance, nodesAre("node-a"))
	offline.Since = s.instance(onA.Instance).CreationTimestamp.Time
	a.DeviceChanged(offline)
	b.DeviceChanged(onB)
	b.settled(onB.Instance, slot)
	a.settled(local.Instance, nil)
	a.settled(onA.Instance, nil)
	a.settled(offline.Instance, nil)
	a.stop()
	b.stop()
	versions := func() string {
		var v []string
		for _, d := range []string{local.Instance.Name, onA.Instance.Name, offline.Instance.Name} {
			n := local.Instance
			n.Name = d
			v = append(v, s.instance(n).ResourceVersion)
		}
		return strings.Join(v, " ")
	}
	before := versions()

	a, b = startNode(t, "node-a"), startNode(t, "node-b")
	devices, err := a.Adopt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	adopted := map[string]bool{}
	for _, d := range devices {
		if d.Instance.Namespace == s.name {
			adopted[d.Reported.ID] = true
			if d.Usable || d.Owner != s.owner || d.Configuration != "cam" {
				t.Errorf("adopted as %+v", d)
			}
		}
	}
	if len(adopted) != 3 {
		t.Errorf("adopted %v, want three devices", adopted)
	}
	for range 3 {
		for _, d := range devices {
			if d.Instance.Namespace == s.name && d.Reported.ID == "away" {
				a.DeviceChanged(d)
			}
		}
		a.DeviceChanged(local)
		a.DeviceChanged(onA)
		b.DeviceChanged(onB)
		a.settled(local.Instance, nil)
		a.settled(onA.Instance, nil)
		a.settled(offline.Instance, nil)
		b.settled(onB.Instance, slot)
	}
	if w := append(a.written(), b.written()...); len(w) != 0 {
		t.Errorf("a restart wrote: %v", w)
	}
	if after := versions(); after != before {
		t.Errorf("versions were %s, are %s", before, after)
	}
}

func TestSharedJoinChangeLeave(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA := s.device("node-a", "camera", true, map[string]string{"URL": "rtsp://x", "OLD": "1"})
	onB := s.device("node-b", "camera", true, map[string]string{"URL": "rtsp://x", "OLD": "1"})

	a.DeviceChanged(onA)
	first := s.eventuallyInstance("a has it", onA.Instance, nodesAre("node-a"))
	b.DeviceChanged(onB)
	s.eventuallyInstance("b has joined", onA.Instance, nodesAre("node-a", "node-b"))
	held := v0.SlotID(onA.Instance.Name, 0)
	b.settled(onB.Instance, map[string]v0.Usage{held: b.usageOf()})

	// A change of the Configuration reaches both; b first.
	onA.Capacity, onB.Capacity = 5, 5
	onA.Reported.Properties = map[string]string{"URL": "rtsp://y"}
	onB.Reported.Properties = map[string]string{"URL": "rtsp://y"}
	b.DeviceChanged(onB)
	a.DeviceChanged(onA)
	o := s.eventuallyInstance("changed in place", onA.Instance, func(o *v0.Instance) error {
		if o.Spec.Capacity != 5 || !maps.Equal(o.Spec.BrokerProperties, onA.Properties()) {
			return fmt.Errorf("it is %+v", o.Spec)
		}
		return nodesAre("node-a", "node-b")(o)
	})
	if o.UID != first.UID || o.Spec.DeviceUsage[held] != "node-b" {
		t.Errorf("a change made it %+v", o)
	}
	a.settled(onA.Instance, nil)
	b.settled(onB.Instance, map[string]v0.Usage{held: b.usageOf()})

	// The leader leaves; what it had decided stays.
	s.eventually("b repeats what a decided", func() error {
		for _, m := range s.instance(onA.Instance).ManagedFields {
			if m.Manager == FactsManager("node-b") && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), "f:capacity") {
				return nil
			}
		}
		return errors.New("it does not own capacity")
	})
	a.DeviceGone(onA)
	o = s.eventuallyInstance("a has left", onA.Instance, nodesAre("node-b"))
	if o.Spec.Capacity != 5 || !maps.Equal(o.Spec.BrokerProperties, onB.Properties()) || o.Labels[v0.LabelShared] != "true" ||
		o.Annotations[v0.AnnotationDeviceID] != "camera" || len(o.OwnerReferences) != 1 || o.Spec.DeviceUsage[held] != "node-b" {
		t.Errorf("after the leader left: %+v", o)
	}
	for _, m := range o.ManagedFields {
		if strings.HasSuffix(m.Manager, "/node-a") {
			t.Errorf("a still owns %s", m.FieldsV1)
		}
	}
	b.DeviceGone(onB)
	s.becomes(onA.Instance, map[string]string{held: "node-b"})
	b.Record(onA.Instance, nil)
	s.eventuallyGone(onA.Instance)
}

// TestLeaderLeavesAlone has the leader leave while nobody else owns what an
// Instance must have.
func TestLeaderLeavesAlone(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", true, map[string]string{"K": "1"})
	a.DeviceChanged(d)
	s.eventuallyInstance("a has it", d.Instance, nodesAre("node-a"))
	s.apply(d.Instance.Name, "somebody", map[string]any{
		"apiVersion": "akri.sh/v0", "kind": "Instance", "metadata": map[string]any{"name": d.Instance.Name},
		"spec": map[string]any{"nodes": []string{"node-x"}},
	})
	a.DeviceGone(d)
	o := s.eventuallyInstance("a has left", d.Instance, nodesAre("node-x"))
	if o.Spec.Capacity != 2 {
		t.Errorf("capacity is %d", o.Spec.Capacity)
	}
}

func TestPropertiesDiffer(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA := s.device("node-a", "camera", true, map[string]string{"URL": "one", "A": "1"})
	onB := s.device("node-b", "camera", true, map[string]string{"URL": "two", "B": "1"})
	a.DeviceChanged(onA)
	s.eventuallyInstance("a has it", onA.Instance, nodesAre("node-a"))
	b.DeviceChanged(onB)
	o := s.eventuallyInstance("b says what differs", onA.Instance, func(o *v0.Instance) error {
		if n := o.Status.Nodes; len(n) != 1 || n[0].Reason != v0.ReasonPropertiesDiffer || n[0].State != v0.DeviceOnline ||
			!strings.Contains(n[0].Message, "A, B, URL") {
			return fmt.Errorf("status is %+v", n)
		}
		return nodesAre("node-a", "node-b")(o)
	})
	if !maps.Equal(o.Spec.BrokerProperties, onA.Properties()) {
		t.Errorf("properties are %v, want a's", o.Spec.BrokerProperties)
	}
	a.settled(onA.Instance, nil)
	b.settled(onB.Instance, nil)
	version := s.instance(onA.Instance).ResourceVersion
	a.DeviceChanged(onA)
	b.DeviceChanged(onB)
	a.settled(onA.Instance, nil)
	b.settled(onB.Instance, nil)
	if now := s.instance(onA.Instance).ResourceVersion; now != version {
		t.Error("nodes that differ go on writing")
	}
	a.DeviceGone(onA)
	s.eventuallyInstance("b decides", onA.Instance, func(o *v0.Instance) error {
		if !maps.Equal(o.Spec.BrokerProperties, onB.Properties()) || len(o.Status.Nodes) != 0 {
			return fmt.Errorf("it is %+v %+v", o.Spec, o.Status)
		}
		return nodesAre("node-b")(o)
	})
}

func TestRacingClaims(t *testing.T) {
	s := newFixture(t)
	nodes := []*testNode{startNode(t, "node-a"), startNode(t, "node-b"), startNode(t, "node-c")}
	const slots = 8
	var instance = s.device("node-a", "camera", true, nil).Instance
	for _, n := range nodes {
		d := s.device(n.name, "camera", true, nil)
		d.Capacity = slots
		n.DeviceChanged(d)
	}
	s.eventuallyInstance("all have joined", instance, func(o *v0.Instance) error {
		if len(o.Spec.Nodes) != len(nodes) {
			return fmt.Errorf("nodes are %v", o.Spec.Nodes)
		}
		return nil
	})
	won := make([]map[string]v0.Usage, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			won[i] = map[string]v0.Usage{}
			for slot := range slots {
				id := v0.SlotID(instance.Name, slot)
				try := maps.Clone(won[i])
				try[id] = n.usageOf()
				switch err := n.Claim(t.Context(), instance, try); {
				case err == nil:
					won[i] = try
				case !errors.Is(err, ledger.ErrTaken):
					t.Errorf("node %s: %v", n.name, err)
				}
			}
		})
	}
	wg.Wait()
	o := s.instance(instance)
	total := 0
	for i, n := range nodes {
		total += len(won[i])
		for id := range won[i] {
			if o.Spec.DeviceUsage[id] != n.name {
				t.Errorf("node %s was told that it has %s, which %q has", n.name, id, o.Spec.DeviceUsage[id])
			}
		}
	}
	if total != slots || len(o.Spec.DeviceUsage) != slots {
		t.Errorf("%d of %d slots were won, %d are taken", total, slots, len(o.Spec.DeviceUsage))
	}
	// Everybody hears of it.
	for _, n := range nodes {
		s.eventually("told", func() error {
			if u, _ := n.observed(instance); len(u) != slots {
				return fmt.Errorf("node %s knows %v", n.name, u)
			}
			return nil
		})
	}
}

func TestForeignClaimsAreNotStolen(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	onA, onB := s.device("node-a", "camera", true, nil), s.device("node-b", "camera", true, nil)
	s0, s1 := v0.SlotID(onA.Instance.Name, 0), v0.SlotID(onA.Instance.Name, 1)
	a.DeviceChanged(onA)
	s.eventuallyInstance("a has it", onA.Instance, nodesAre("node-a"))
	b.DeviceChanged(onB)
	s.eventuallyInstance("both have it", onA.Instance, nodesAre("node-a", "node-b"))
	b.settled(onB.Instance, map[string]v0.Usage{s0: b.usageOf()})

	// A node that comes back from a partition with an old belief.
	a.Record(onA.Instance, map[string]v0.Usage{s0: a.usageOf(), s1: a.usageOf()})
	s.eventuallyInstance("the free one is recorded", onA.Instance, func(o *v0.Instance) error {
		if o.Spec.DeviceUsage[s1] != "node-a" {
			return fmt.Errorf("usage is %v", o.Spec.DeviceUsage)
		}
		return nil
	})
	err := a.Claim(t.Context(), onA.Instance, map[string]v0.Usage{s0: a.usageOf(), s1: a.usageOf()})
	if !errors.Is(err, ledger.ErrTaken) || !strings.Contains(err.Error(), "node-b") {
		t.Errorf("claim of b's slot: %v", err)
	}
	// The leader's forced facts take no slot either.
	onA.Capacity = 4
	a.DeviceChanged(onA)
	o := s.eventuallyInstance("capacity", onA.Instance, func(o *v0.Instance) error {
		if o.Spec.Capacity != 4 {
			return fmt.Errorf("capacity is %d", o.Spec.Capacity)
		}
		return nil
	})
	if o.Spec.DeviceUsage[s0] != "node-b" || o.Spec.DeviceUsage[s1] != "node-a" {
		t.Errorf("usage is %v", o.Spec.DeviceUsage)
	}
	// What b frees goes to a, which still wants it.
	b.Record(onB.Instance, nil)
	s.eventuallyInstance("handed over", onA.Instance, func(o *v0.Instance) error {
		if o.Spec.DeviceUsage[s0] != "node-a" {
			return fmt.Errorf("usage is %v", o.Spec.DeviceUsage)
		}
		return nil
	})
	a.Record(onA.Instance, nil)
	s.eventuallyInstance("all free", onA.Instance, func(o *v0.Instance) error {
		if len(o.Spec.DeviceUsage) != 0 {
			return fmt.Errorf("usage is %v", o.Spec.DeviceUsage)
		}
		return nil
	})
}

func TestClaimWithoutInstance(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", true, nil)
	err := a.Claim(t.Context(), d.Instance, map[string]v0.Usage{v0.SlotID(d.Instance.Name, 0): a.usageOf()})
	if !errors.Is(err, ErrNoInstance) {
		t.Errorf("claim: %v, want ErrNoInstance", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Claim(ctx, d.Instance, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("claim with an ended context: %v", err)
	}
}
