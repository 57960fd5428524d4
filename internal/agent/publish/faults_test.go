//go:build integration

package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/events"
)

func TestDeletedByHand(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	for _, shared := range []bool{false, true} {
		d := s.device("node-a", "camera", shared, nil)
		a.DeviceChanged(d)
		first := s.eventuallyInstance("made", d.Instance, nodesAre("node-a"))
		s.delete(s.path("instances") + "/" + d.Instance.Name)
		s.eventuallyInstance("made again", d.Instance, func(o *v0.Instance) error {
			if o.UID == first.UID {
				return errors.New("it is the old one")
			}
			return nil
		})
	}
}

// TestLabelsTakenOff has somebody edit an Instance out of the watch.
func TestLabelsTakenOff(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", false, nil)
	a.DeviceChanged(d)
	first := s.eventuallyInstance("made", d.Instance, nodesAre("node-a"))
	s.patch(s.path("instances")+"/"+d.Instance.Name, `{"metadata":{"labels":null},"spec":{"nodes":[],"capacity":7}}`)
	s.eventuallyInstance("put right", d.Instance, func(o *v0.Instance) error {
		if o.UID != first.UID {
			t.Fatal("it was replaced")
		}
		if o.Labels[v0.LabelNode] != "node-a" || o.Spec.Capacity != 2 {
			return fmt.Errorf("it is %v %+v", o.Labels, o.Spec)
		}
		return nodesAre("node-a")(o)
	})
}

func (n *testNode) problem(name types.NamespacedName) string {
	n.Publisher.mu.Lock()
	defer n.Publisher.mu.Unlock()
	if g := n.goals[name]; g != nil {
		return g.problem
	}
	return ""
}

// TestConfigurationDeleted: the garbage collector and the publisher do not
// fight.
func TestConfigurationDeleted(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", false, nil)
	a.DeviceChanged(d)
	first := s.eventuallyInstance("made", d.Instance, nodesAre("node-a"))
	a.settled(d.Instance, nil)
	a.written()

	s.delete(s.path("configurations") + "/cam")
	s.eventuallyGone(d.Instance)
	s.eventually("the publisher has seen why", func() error {
		if p := a.problem(d.Instance); !strings.Contains(p, errNoOwner.Error()) {
			return fmt.Errorf("it says %q", p)
		}
		return nil
	})
	if w := a.written(); len(w) != 0 {
		t.Errorf("writes without a Configuration: %v", w)
	}

	// The same name, but another Configuration; the inventory says so later.
	s.owner = s.configuration()
	renewed := s.device("node-a", "camera", false, nil)
	a.DeviceChanged(renewed)
	s.eventuallyInstance("made for the new one", d.Instance, func(o *v0.Instance) error {
		if o.UID == first.UID || o.OwnerReferences[0].UID != s.owner {
			return fmt.Errorf("it is %+v", o.ObjectMeta)
		}
		return nil
	})
}

// TestConfigurationReplaced has the new Configuration known before the old
// Instance is collected.
func TestConfigurationReplaced(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	for _, n := range []*testNode{a, b} {
		n.DeviceChanged(s.device(n.name, "camera", true, nil))
	}
	name := s.device("node-a", "camera", true, nil).Instance
	both := func(o *v0.Instance) error {
		if len(o.Spec.Nodes) != 2 || o.OwnerReferences[0].UID != s.owner {
			return fmt.Errorf("it is %+v %+v", o.OwnerReferences, o.Spec)
		}
		return nil
	}
	first := s.eventuallyInstance("joined", name, both)
	s.delete(s.path("configurations") + "/cam")
	s.owner = s.configuration()
	for _, n := range []*testNode{a, b} {
		n.DeviceChanged(s.device(n.name, "camera", true, nil))
	}
	if o := s.eventuallyInstance("replaced", name, both); o.UID == first.UID {
		t.Error("the Instance outlived its Configuration")
	}
}

func TestNamespaceTerminating(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	// Something that holds the namespace in termination.
	s.post("/api/v1/namespaces/"+s.name+"/configmaps", map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "held", "finalizers": []string{"example.com/hold"}},
	})
	s.delete("/api/v1/namespaces/" + s.name)
	d := s.device("node-a", "camera", false, nil)
	s.eventually("terminating", func() error {
		raw, err := s.admin.Get().AbsPath("/api/v1/namespaces/" + s.name).DoRaw(t.Context())
		if err == nil && !strings.Contains(string(raw), `"Terminating"`) {
			err = errors.New("not yet")
		}
		return err
	})
	a.DeviceChanged(d)
	s.eventually("refused", func() error {
		if p := a.problem(d.Instance); !strings.Contains(p, "terminated") {
			return fmt.Errorf("it says %q", p)
		}
		return nil
	})
	a.DeviceGone(d)
	s.patch("/api/v1/namespaces/"+s.name+"/configmaps/held", `{"metadata":{"finalizers":null}}`)
}

func TestCollision(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", false, map[string]string{"K": "1"})
	// Another id with this hash: in our watch, and out of it.
	for _, labels := range []map[string]any{{v0.LabelNode: "node-a"}, {}} {
		s.apply(d.Instance.Name, "akri-agent/other", map[string]any{
			"apiVersion": "akri.sh/v0", "kind": "Instance",
			"metadata": map[string]any{
				"name": d.Instance.Name, "labels": labels,
				"annotations": map[string]any{v0.AnnotationDeviceID: "microphone"},
			},
			"spec": map[string]any{"configurationName": "cam", "cdiName": "akri.sh/cam=x", "capacity": 1, "nodes": []string{"node-a"}},
		})
		before := s.instance(d.Instance)
		a.DeviceChanged(d)
		s.eventually("reported", func() error {
			if p := a.problem(d.Instance); !strings.Contains(p, ErrCollision.Error()) || !strings.Contains(p, "microphone") {
				return fmt.Errorf("it says %q", p)
			}
			return nil
		})
		s.eventually("an Event", func() error {
			for _, e := range s.events() {
				if e.Reason == "DeviceRefused" && e.Type == "Warning" && strings.Contains(e.Note, "microphone") {
					return nil
				}
			}
			return errors.New("there is none")
		})
		if err := a.Claim(t.Context(), d.Instance, map[string]v0.Usage{v0.SlotID(d.Instance.Name, 0): a.usageOf()}); !errors.Is(err, ErrCollision) {
			t.Errorf("claim: %v", err)
		}
		a.DeviceGone(d)
		s.eventually("forgotten", func() error {
			if a.problem(d.Instance) != "" {
				return errors.New("not yet")
			}
			return nil
		})
		if now := s.instance(d.Instance); now == nil || now.ResourceVersion != before.ResourceVersion {
			t.Error("the other device's Instance was touched")
		}
		s.delete(s.path("instances") + "/" + d.Instance.Name)
		s.eventuallyGone(d.Instance)
	}
}

// TestUpstreamsInstance takes over what upstream's agent has left: managers,
// free slots with "", a finalizer, no labels.
func TestUpstreamsInstance(t *testing.T) {
	s := newFixture(t)
	ours := s.device("node-a", "camera", false, map[string]string{"K": "1"})
	name := ours.Instance.Name
	s0, s1, s2 := v0.SlotID(name, 0), v0.SlotID(name, 1), v0.SlotID(name, 2)
	head := func(spec map[string]any) map[string]any {
		return map[string]any{
			"apiVersion": "akri.sh/v0", "kind": "Instance",
			"metadata": map[string]any{"name": name}, "spec": spec,
		}
	}
	facts := head(map[string]any{
		"configurationName": "cam", "cdiName": "akri.sh/cam=" + ours.Hash(), "capacity": 3, "shared": false,
		"brokerProperties": map[string]any{"K": "0", "OLD": "1"}, "nodes": []string{"node-a"},
	})
	facts["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{
		"apiVersion": "akri.sh/v0", "kind": "Configuration", "name": "cam", "uid": s.owner, "controller": true, "blockOwnerDeletion": true,
	}}
	facts["metadata"].(map[string]any)["finalizers"] = []string{"node-a"}
	s.apply(name, "node-a", facts)
	s.apply(name, "dp-node-a", head(map[string]any{"deviceUsage": map[string]any{s0: "", s1: "", s2: "C:cam-0:node-a"}}))
	first := s.instance(ours.Instance)

	a := startNode(t, "node-a")
	s.eventually("upstream's claim is told", func() error {
		if u, _ := a.observed(ours.Instance); u[s2].VirtualDevice != "cam-0" || len(u) != 1 {
			return fmt.Errorf("usage is %v", u)
		}
		return nil
	})
	a.DeviceChanged(ours)
	o := s.eventuallyInstance("taken over", ours.Instance, func(o *v0.Instance) error {
		if o.Labels[v0.LabelNode] != "node-a" || o.Annotations[v0.AnnotationDeviceID] != "camera" ||
			len(o.Finalizers) != 0 || o.Spec.Capacity != 2 || len(o.Spec.BrokerProperties) != 1 || o.Spec.BrokerProperties["K"] != "1" {
			return fmt.Errorf("it is %+v %+v", o.ObjectMeta, o.Spec)
		}
		return nil
	})
	if o.UID != first.UID || o.Spec.DeviceUsage[s2] != "C:cam-0:node-a" {
		t.Errorf("taken over as %+v", o)
	}
	if err := a.Claim(t.Context(), ours.Instance, map[string]v0.Usage{s0: a.usageOf()}); err != nil {
		t.Fatal(err)
	}
	o = s.instance(ours.Instance)
	if _, still := o.Spec.DeviceUsage[s2]; still || o.Spec.DeviceUsage[s0] != "node-a" {
		t.Errorf("usage is %v", o.Spec.DeviceUsage)
	}
	a.Record(ours.Instance, nil)
	s.eventuallyInstance("freed", ours.Instance, func(o *v0.Instance) error {
		if _, still := o.Spec.DeviceUsage[s0]; still {
			return fmt.Errorf("usage is %v", o.Spec.DeviceUsage)
		}
		return nil
	})
	ours.Capacity = 4
	a.DeviceChanged(ours)
	s.eventuallyInstance("changed", ours.Instance, func(o *v0.Instance) error {
		if o.Spec.Capacity != 4 {
			return fmt.Errorf("capacity is %d", o.Spec.Capacity)
		}
		return nil
	})
	a.DeviceGone(ours)
	s.eventuallyGone(ours.Instance)
}

func TestAPIServerAway(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	stays, leaves := s.device("node-a", "stays", false, nil), s.device("node-a", "leaves", false, nil)
	comes := s.device("node-a", "comes", false, nil)
	onA, onB := s.device("node-a", "camera", true, nil), s.device("node-b", "camera", true, nil)
	a.DeviceChanged(stays)
	a.DeviceChanged(leaves)
	a.DeviceChanged(onA)
	s.eventuallyInstance("a has it", onA.Instance, nodesAre("node-a"))
	b.DeviceChanged(onB)
	s.eventuallyInstance("both have it", onA.Instance, nodesAre("node-a", "node-b"))
	slot := v0.SlotID(onA.Instance.Name, 0)
	b.settled(onB.Instance, map[string]v0.Usage{slot: b.usageOf()})
	a.settled(stays.Instance, nil)
	before := s.instance(stays.Instance)

	server.Stop()
	s.eventually("a notices", func() error {
		if a.client.Reachable() {
			return errors.New("not yet")
		}
		return nil
	})
	a.DeviceGone(leaves)
	a.DeviceChanged(comes)
	changed := stays
	changed.Capacity = 9
	a.DeviceChanged(changed)
	a.DeviceChanged(stays) // and back
	b.Record(onB.Instance, nil)
	if err := a.Claim(t.Context(), onA.Instance, map[string]v0.Usage{v0.SlotID(onA.Instance.Name, 1): a.usageOf()}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("claim without an API server: %v", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.eventuallyInstance("what came", comes.Instance, nodesAre("node-a"))
	s.eventuallyGone(leaves.Instance)
	s.eventuallyInstance("what was freed", onA.Instance, func(o *v0.Instance) error {
		if len(o.Spec.DeviceUsage) != 0 {
			return fmt.Errorf("usage is %v", o.Spec.DeviceUsage)
		}
		return nodesAre("node-a", "node-b")(o)
	})
	a.settled(stays.Instance, nil)
	if now := s.instance(stays.Instance); now.ResourceVersion != before.ResourceVersion {
		t.Error("what did not change was written")
	}
	// The watches are back too.
	s.delete(s.path("instances") + "/" + stays.Instance.Name)
	s.eventuallyInstance("made again", stays.Instance, nodesAre("node-a"))
	if err := a.Claim(t.Context(), onA.Instance, map[string]v0.Usage{slot: a.usageOf()}); err != nil {
		t.Error(err)
	}
}

func TestConfigurationStatus(t *testing.T) {
	s := newFixture(t)
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	name := types.NamespacedName{Namespace: s.name, Name: "cam"}
	read := func() []v0.ConfigurationNode {
		c, err := a.client.GetConfiguration(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(c.Status.Nodes, func(x, y v0.ConfigurationNode) int { return strings.Compare(x.Name, y.Name) })
		return c.Status.Nodes
	}
	waitFor := func(want ...v0.ConfigurationNode) {
		t.Helper()
		s.eventually("status", func() error {
			if got := read(); !slices.Equal(got, want) {
				return fmt.Errorf("it is %+v", got)
			}
			return nil
		})
	}
	onA := v0.ConfigurationNode{Name: "node-a", State: v0.DiscoveryWaiting, Message: "no handler", ObservedGeneration: 1}
	onB := v0.ConfigurationNode{Name: "node-b", State: v0.DiscoveryActive, Devices: 3}
	a.ConfigurationStatus(name, s.owner, onA)
	b.ConfigurationStatus(name, s.owner, onB)
	waitFor(onA, onB)
	a.written()
	// A burst is one write or two, the last word counts.
	for i := range 50 {
		onA = v0.ConfigurationNode{Name: "node-a", State: v0.DiscoveryActive, Devices: int32(i)}
		a.ConfigurationStatus(name, s.owner, onA)
	}
	waitFor(onA, onB)
	if w := a.written(); len(w) > 2 {
		t.Errorf("a burst took %d writes", len(w))
	}
	a.stop()
	a = startNode(t, "node-a")
	a.ConfigurationStatus(name, s.owner, onA)
	a.ConfigurationStatus(name, "another-uid", v0.ConfigurationNode{State: v0.DiscoveryFailed})
	// Something that is written after it, to know that it was looked at.
	marker := types.NamespacedName{Namespace: s.name, Name: "gone"}
	a.ConfigurationStatus(marker, "x", onA)
	s.eventually("worked off", func() error {
		a.status.mu.Lock()
		defer a.status.mu.Unlock()
		if n := len(a.status.wanted); n != 0 {
			return fmt.Errorf("%d entries wait", n)
		}
		return nil
	})
	if w := a.written(); len(w) != 0 {
		t.Errorf("unchanged, or of another Configuration, yet written: %v", w)
	}
}

type eventSeen struct{ Reason, Note, Type string }

func (s *fixture) events() []eventSeen {
	s.t.Helper()
	raw, err := s.admin.Get().AbsPath("/apis/events.k8s.io/v1/namespaces/" + s.name + "/events").DoRaw(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var list struct {
		Items []eventSeen `json:"items"`
	}
	s.mustJSON(raw, &list)
	return list.Items
}

func TestEvents(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	const n = 30
	for i := range n {
		a.DeviceChanged(s.device("node-a", fmt.Sprint("device-", i), false, nil))
	}
	count := func(reason string) (total, made int) {
		for _, e := range s.events() {
			if e.Reason != reason {
				continue
			}
			made++
			var many int
			if _, err := fmt.Sscanf(e.Note, "%d devices", &many); err != nil {
				many = 1
			}
			total += many
		}
		return total, made
	}
	s.eventually("found", func() error {
		total, made := count(events.DeviceFound)
		if total != n || made > n/3 {
			return fmt.Errorf("%d devices in %d events: %+v", total, made, s.events())
		}
		return nil
	})
	a.DeviceGone(s.device("node-a", "device-7", false, nil))
	s.eventually("lost", func() error {
		for _, e := range s.events() {
			if e.Reason == events.DeviceLost && strings.Contains(e.Note, `"device-7"`) {
				return nil
			}
		}
		return fmt.Errorf("events are %+v", s.events())
	})
}

// An Event on the node is one that the API server takes and kubectl describe
// node finds: by the node's name as uid.
func TestEventOnTheNode(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-events.example.com")
	a.says.Warn(events.Regarding{Node: true}, "DiscoveryHandlerRefused", "it may not register")
	s.eventually("an Event", func() error {
		raw, err := s.admin.Get().AbsPath("/api/v1/namespaces/default/events").
			Param("fieldSelector", "involvedObject.kind=Node,involvedObject.uid="+a.name).DoRaw(t.Context())
		if err != nil {
			return err
		}
		if !strings.Contains(string(raw), "node "+a.name+": it may not register") {
			return fmt.Errorf("events are %s", raw)
		}
		return nil
	})
}

// TestStatusSubresourceMissing has a cluster whose CRDs have no status
// subresource.
func TestStatusSubresourceMissing(t *testing.T) {
	s := newFixture(t)
	for _, crd := range []string{"instances", "configurations"} {
		path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + crd + ".akri.sh"
		set := func(ctx context.Context, value string) {
			body := `[{"op":"replace","path":"/spec/versions/0/subresources","value":` + value + `}]`
			if out, err := s.admin.Patch(types.JSONPatchType).AbsPath(path).Body([]byte(body)).DoRaw(ctx); err != nil {
				t.Errorf("patch the CRD: %v\n%s", err, out)
			}
		}
		set(t.Context(), `{}`)
		t.Cleanup(func() { set(context.Background(), `{"status":{}}`) })
		s.eventually("not served", func() error {
			code := 0
			s.admin.Get().AbsPath(s.path(crd) + "/nonsuch/status").Do(t.Context()).StatusCode(&code)
			out, err := s.admin.Get().AbsPath("/apis/akri.sh/v0").DoRaw(t.Context())
			if err != nil || code != http.StatusNotFound || strings.Contains(string(out), crd+"/status") {
				return fmt.Errorf("still there (%v)", err)
			}
			return nil
		})
	}
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", false, nil)
	d.State, d.Reason = v0.DeviceOffline, v0.ReasonNotReported
	a.DeviceChanged(d)
	s.eventuallyInstance("made", d.Instance, nodesAre("node-a"))
	a.settled(d.Instance, nil)
	a.ConfigurationStatus(types.NamespacedName{Namespace: s.name, Name: "cam"}, s.owner, v0.ConfigurationNode{State: v0.DiscoveryActive})
	s.eventually("both noticed", func() error {
		a.status.mu.Lock()
		defer a.status.mu.Unlock()
		if !a.statusMissing() || !a.status.missing {
			return fmt.Errorf("instances %v, configurations %v", a.statusMissing(), a.status.missing)
		}
		return nil
	})
}
