//go:build integration

package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
)

// makeAs has the agent of a node make an Instance of a device in its own way.
func (s *fixture) makeAs(node string, d inventory.Device, change func(*Object)) {
	s.t.Helper()
	p := planner{node: node, want: Want{Instance: d.Instance, Word: Present, Device: d}}
	o := p.full("", int64(d.Capacity), d.Properties())
	change(o)
	body, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	cs, err := kubernetes.NewForConfig(chartuser.Agent(server.Config, node))
	if err != nil {
		s.t.Fatal(err)
	}
	if out, err := cs.Discovery().RESTClient().Patch(types.ApplyPatchType).AbsPath(s.path("instances")+"/"+d.Instance.Name).
		Param("fieldManager", FactsManager(node)).Body(body).DoRaw(s.t.Context()); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
}

// Another node makes an Instance under the name of a local device of this one.
func TestNameOfAnothersDevice(t *testing.T) {
	for name, shared := range map[string]bool{"local": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t)
			a := startNode(t, "node-a")
			d := s.device("node-a", "usb/1-2", false, map[string]string{"K": "1"})
			theirs := d
			theirs.Shared = shared
			s.makeAs("node-x", theirs, func(*Object) {})
			a.DeviceChanged(d)
			s.eventually("the node says so", func() error {
				if p := a.problem(d.Instance); !strings.Contains(p, "node node-x made it under the name of a device of node node-a") {
					return fmt.Errorf("its problem is %q", p)
				}
				return nil
			})
			if err := nodesAre("node-x")(s.instance(d.Instance)); err != nil {
				t.Error(err)
			}
			s.delete(s.path("instances") + "/" + d.Instance.Name)
			a.DeviceChanged(d) // or in half a minute
			s.eventuallyInstance("made, when the other is gone", d.Instance, nodesAre("node-a"))
			s.eventually("all is well", func() error {
				if p := a.problem(d.Instance); p != "" {
					return fmt.Errorf("its problem is %q", p)
				}
				return nil
			})
		})
	}
}

// The garbage collector removes an Instance whose owner is not the Configuration,
// and its device gets one of its own.
func TestOwnerOfAnotherUID(t *testing.T) {
	s := newFixture(t)
	a := startNode(t, "node-a")
	d := s.device("node-a", "camera", true, nil)
	s.makeAs("node-x", d, func(o *Object) { o.Metadata.OwnerReferences[0].UID = "00000000-0000-0000-0000-000000000000" })
	a.DeviceChanged(d)
	o := s.eventuallyInstance("made by this node", d.Instance, nodesAre("node-a"))
	if o.OwnerReferences[0].UID != s.owner {
		t.Errorf("it is owned by %+v", o.OwnerReferences)
	}
}

// A flood of Instances costs an agent their names: in the list at its start, in
// the watch, and until one of them is its own.
func TestFloodOfOthersInstances(t *testing.T) {
	const flood = 16
	s := newFixture(t)
	defer s.delete(s.path("instances")) // agents of the tests that follow would see them
	text := strings.Repeat("x", 32_000)
	properties := map[string]string{}
	for i := range 16 {
		properties[fmt.Sprint("K", i)] = text
	}
	device := func(node string, i int) inventory.Device {
		return s.device(node, fmt.Sprint("flood-", i), true, properties)
	}
	for i := range flood / 2 {
		s.makeAs("node-x", device("node-x", i), func(*Object) {})
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	a := startNode(t, "node-a")
	for i := flood / 2; i < flood; i++ {
		s.makeAs("node-x", device("node-x", i), func(*Object) {})
	}
	known := func(what string, names, objects int) {
		t.Helper()
		s.eventually(what, func() error {
			a.Publisher.mu.Lock()
			defer a.Publisher.mu.Unlock()
			elsewhere, observed := 0, 0
			for name := range a.unread {
				if name.Namespace == s.name {
					elsewhere++
				}
			}
			for name := range a.Publisher.observed {
				if name.Namespace == s.name {
					observed++
				}
			}
			if elsewhere != names || observed != objects {
				return fmt.Errorf("%d names and %d Instances are kept, want %d and %d", elsewhere, observed, names, objects)
			}
			return nil
		})
	}
	known("the flood is seen", flood, 0)
	if used := heap() - before; used > 4<<20 && used < 1<<60 {
		t.Errorf("%d Instances of 512 KiB cost an agent %d KiB", flood, used>>10)
	}

	// It joins one, with all that stands there, and leaves it again.
	mine := device("node-a", 3)
	mine.Reported.Properties = maps.Clone(properties)
	mine.Reported.Properties["K0"] = "other"
	a.DeviceChanged(mine)
	o := s.eventuallyInstance("joined", mine.Instance, nodesAre("node-x", "node-a"))
	if o.Spec.BrokerProperties["K0"] != text {
		t.Error("joining changed what the leader had said")
	}
	known("one is its own", flood-1, 1)
	a.settled(mine.Instance, map[string]v0.Usage{v0.SlotID(mine.Instance.Name, 1): a.usageOf()})
	a.Record(mine.Instance, nil)
	s.eventuallyInstance("freed", mine.Instance, func(o *v0.Instance) error {
		if len(o.Spec.DeviceUsage) != 0 {
			return errors.New("the slot is held")
		}
		return nil
	})
	a.DeviceGone(mine)
	s.eventuallyInstance("left", mine.Instance, nodesAre("node-x"))
	known("all are others'", flood, 0)
}
