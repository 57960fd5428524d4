//go:build integration

package publish

import (
	"fmt"
	"log/slog"
	"maps"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
)

// sees gives a node an inventory, and returns what makes it report ids.
func (s *fixture) sees(n *testNode, shared bool) func(ids ...string) {
	up := &inventory.UpTime{}
	up.Set(true)
	inv := inventory.New(inventory.Options{
		Node: n.name, Consumers: []inventory.Consumer{n.Publisher}, Statuses: n.Publisher, UpTime: up, Logger: slog.New(slog.DiscardHandler),
		Vet: func(devices []discovery.Device) ([]discovery.Device, error) { return devices, nil },
	})
	n.mu.Lock()
	n.inventory = inv
	n.mu.Unlock()
	cam := types.NamespacedName{Namespace: s.name, Name: "cam"}
	request := inventory.Configuration{Name: cam, Owner: s.owner, Handler: "h", RequestID: "q", Capacity: 2,
		OfflineGracePeriod: &metav1.Duration{}}
	inv.SetConfiguration(request)
	return func(ids ...string) {
		var devices []discovery.Device
		for _, id := range ids {
			devices = append(devices, discovery.Device{ID: id})
		}
		inv.Reported(registry.Report{Configuration: cam, RequestID: "q", Endpoint: "e", Shared: shared, Devices: devices})
	}
}

// has waits until these are the Instances: by name the id and the nodes.
func (s *fixture) has(want map[string]string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("Instances %v", want), func() error {
		raw, err := s.admin.Get().AbsPath(s.path("instances")).DoRaw(s.t.Context())
		if err != nil {
			return err
		}
		var list v0.InstanceList
		s.mustJSON(raw, &list)
		got := map[string]string{}
		for _, o := range list.Items {
			got[o.Name] = fmt.Sprint(o.Annotations[v0.AnnotationDeviceID], o.Spec.Nodes)
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("there are %v", got)
		}
		return nil
	})
}

// Two devices with one hash are two Instances, the same on all nodes, whichever
// a node sees first, and also when the one that was first is gone.
func TestSharedDevicesThatCollide(t *testing.T) {
	s := newFixture(t)
	seen, a, b := map[string]string{}, "", ""
	for i := 0; a == ""; i++ {
		b = fmt.Sprintf("camera-%d", i)
		hash := v0.DeviceHash(b, "", true)
		a = seen[hash]
		seen[hash] = b
	}
	name := func(id string, n int) string { return v0.InstanceName("cam", v0.NthDeviceHash(id, "", true, n)) }
	first, a1 := name(a, 0), name(a, 1)

	one, two := s.sees(startNode(t, "node-a"), true), s.sees(startNode(t, "node-b"), true)
	one(b)
	s.has(map[string]string{first: b + "[node-a]"})
	two(a)
	s.has(map[string]string{first: b + "[node-a]", a1: a + "[node-b]"})
	one(b, a)
	s.has(map[string]string{first: b + "[node-a]", a1: a + "[node-b node-a]"})
	two(a, b)
	s.has(map[string]string{first: b + "[node-a node-b]", a1: a + "[node-b node-a]"})

	// A node that knew neither sees only the second, when the first is gone.
	one(a)
	two(a)
	s.has(map[string]string{a1: a + "[node-b node-a]"})
	three := s.sees(startNode(t, "node-c"), true)
	three(a)
	s.has(map[string]string{a1: a + "[node-b node-a node-c]"})
	three(a, b)
	s.has(map[string]string{a1: a + "[node-b node-a node-c]", first: b + "[node-c]"})
}

// The name of a local device may be that of another node's, or of a
// Configuration: the device has its next name.
func TestLocalDeviceWhoseNameIsTaken(t *testing.T) {
	s := newFixture(t)
	name := func(node string, n int) string { return v0.InstanceName("cam", v0.NthDeviceHash("x", node, false, n)) }
	s.apply(name("node-a", 0), "akri-agent/node-z", map[string]any{
		"apiVersion": "akri.sh/v0", "kind": "Instance",
		"metadata": map[string]any{
			"name": name("node-a", 0), "labels": map[string]any{v0.LabelNode: "node-z"}, "annotations": map[string]any{v0.AnnotationDeviceID: "x"},
		},
		"spec": map[string]any{"configurationName": "cam", "cdiName": "akri.sh/cam=x", "capacity": 1, "nodes": []string{"node-z"}},
	})
	a, b := startNode(t, "node-a"), startNode(t, "node-b")
	b.SetConfigurations([]*v0.Configuration{{ObjectMeta: metav1.ObjectMeta{Name: name("node-b", 0)}}})
	s.sees(a, false)("x")
	s.sees(b, false)("x")
	s.has(map[string]string{name("node-a", 0): "x[node-z]", name("node-a", 1): "x[node-a]", name("node-b", 1): "x[node-b]"})
}
