package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
)

const owner = types.UID("owner-1")

// deviceFor returns a device as node a's inventory has it.
func deviceFor(node string, shared bool, properties map[string]string) inventory.Device {
	const id = "camera"
	name := v0.InstanceName("cam", v0.DeviceHash(id, node, shared))
	return inventory.Device{
		Instance:      types.NamespacedName{Namespace: "default", Name: name},
		Configuration: "cam",
		Owner:         owner,
		Reported:      discovery.Device{ID: id, Properties: properties},
		Shared:        shared,
		Capacity:      2,
		State:         v0.DeviceOnline,
		Usable:        true,
	}
}

// published returns the Instance as nodes have made it, the first leading, and
// as the trimmer of node leaves it.
func published(node string, d inventory.Device, nodes ...string) *v0.Instance {
	yes := true
	o := &v0.Instance{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Instance.Name, Namespace: d.Instance.Namespace, UID: "uid-1", ResourceVersion: "7",
			Labels:      labels(nodes[0], d),
			Annotations: map[string]string{v0.AnnotationDeviceID: d.Reported.ID},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "akri.sh/v0", Kind: "Configuration", Name: "cam", UID: owner, Controller: &yes, BlockOwnerDeletion: &yes,
			}},
		},
		Spec: v0.InstanceSpec{
			ConfigurationName: "cam", CdiName: v0.CDIName("cam", d.Hash()), Capacity: int64(d.Capacity),
			BrokerProperties: d.Properties(), Shared: d.Shared, Nodes: nodes,
		},
	}
	if d.Shared && slices.Contains(nodes, node) {
		o.ManagedFields = []metav1.ManagedFieldsEntry{ownership(node, true, slices.Sorted(maps.Keys(d.Properties()))...)}
	}
	return o
}

// ownership returns the managedFields entry of a node's facts.
func ownership(node string, capacity bool, properties ...string) metav1.ManagedFieldsEntry {
	keys := map[string]any{}
	for _, k := range properties {
		keys["f:"+k] = struct{}{}
	}
	spec := map[string]any{"f:nodes": struct{}{}, "f:brokerProperties": keys}
	if capacity {
		spec["f:capacity"] = struct{}{}
	}
	raw, err := json.Marshal(map[string]any{"f:spec": spec})
	if err != nil {
		panic(err)
	}
	return metav1.ManagedFieldsEntry{
		Manager: FactsManager(node), Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(string(raw)),
	}
}

// describe puts what matters of a write into one line.
func describe(w Write) string {
	var b strings.Builder
	b.WriteString(string(w.Verb))
	for _, flag := range []struct {
		on   bool
		name string
	}{{w.Slots, "slots"}, {w.Status, "status"}, {w.Force, "force"}, {w.Owner != "", "if-owner"}} {
		if flag.on {
			b.WriteString(" " + flag.name)
		}
	}
	if w.UID != "" {
		fmt.Fprintf(&b, " %s", w.UID)
	}
	if w.ResourceVersion != "" {
		fmt.Fprintf(&b, " rv=%s", w.ResourceVersion)
	}
	for _, o := range w.Ops {
		fmt.Fprintf(&b, " [%s %s %s]", o.Op, o.Path, o.Value)
	}
	if o := w.Object; o != nil {
		if o.Metadata.UID != w.UID {
			b.WriteString(" PRECONDITION MISSING")
		}
		if s := o.Spec; s != nil {
			if s.Capacity != nil {
				fmt.Fprintf(&b, " capacity=%d properties=%v nodes=%v", *s.Capacity, s.BrokerProperties, s.Nodes)
			}
			if s.DeviceUsage != nil {
				fmt.Fprintf(&b, " usage=%v", s.DeviceUsage)
			}
		}
		if o.Status != nil {
			for _, n := range o.Status.Nodes {
				fmt.Fprintf(&b, " %s=%s/%s %q", n.Name, n.State, n.Reason, n.Message)
				for _, slot := range n.Outdated {
					fmt.Fprintf(&b, " %s:%s", slot.PodName, slot.Change)
				}
			}
		}
	}
	return b.String()
}

const uidTest = "[test /metadata/uid uid-1]"

type planCase struct {
	name    string
	want    Want
	have    *v0.Instance
	writes  []string
	taken   []string
	beyond  []string
	problem error
	id      string // of the device that has the Instance in question
	differs bool
}

func runPlan(t *testing.T, node string, cases []planCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := Plan(node, c.want, c.have, time.Unix(1000, 0))
			var writes []string
			for _, w := range d.Writes {
				writes = append(writes, describe(w))
			}
			if diff := cmp.Diff(c.writes, writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.beyond, d.Beyond); diff != "" {
				t.Errorf("beyond (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.taken, d.Taken); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
			if !errors.Is(d.Problem, c.problem) || c.problem == nil && d.Problem != nil {
				t.Errorf("problem %v, want %v", d.Problem, c.problem)
			}
			if (d.Name != "") != (c.problem != nil) || d.ID != c.id {
				t.Errorf("Instance %q is that of %q, want %q", d.Name, d.ID, c.id)
			}
			if d.Differs != c.differs {
				t.Errorf("differs %v, want %v", d.Differs, c.differs)
			}
		})
	}
}

// with returns a changed copy of an Instance.
func with(o *v0.Instance, changes ...func(*v0.Instance)) *v0.Instance {
	o = o.DeepCopy()
	for _, change := range changes {
		change(o)
	}
	return o
}

func TestPlanLocal(t *testing.T) {
	d := deviceFor("a", false, map[string]string{"K": "1"})
	want := Want{Instance: d.Instance, Word: Present, Device: d}
	gone := Want{Instance: d.Instance, Word: Gone, Device: d}
	have := published("a", d, "a")
	full := "capacity=2 properties=map[K:1] nodes=[a]"

	recreated := want
	recreated.Vanished = true
	taken := want
	taken.NameTaken = true
	elsewhere := want
	elsewhere.Elsewhere = have
	renewed := want
	renewed.Device.Owner = "owner-2"
	offline := want
	offline.Device.State, offline.Device.Reason, offline.Device.Since = v0.DeviceOffline, v0.ReasonNotReported, time.Unix(500, 7)
	entry := v0.InstanceNode{Name: "a", State: v0.DeviceOffline, Reason: v0.ReasonNotReported, Since: seconds(time.Unix(500, 0))}

	runPlan(t, "a", []planCase{
		{name: "nothing known, nothing there", want: Want{Instance: d.Instance}},
		{name: "nothing known: left alone", want: Want{Instance: d.Instance}, have: have},
		{name: "new: one unforced apply", want: want, writes: []string{"apply " + full}},
		{name: "new, but a Configuration has the name", want: taken, problem: ErrForeign},
		{name: "a Configuration has taken the name since", want: taken, have: have},
		{name: "as it should be", want: want, have: have},
		{name: "deleted by hand: made again if the Configuration is there", want: recreated, writes: []string{"apply if-owner " + full}},
		{name: "being deleted: wait", want: want, have: with(have, func(o *v0.Instance) { o.DeletionTimestamp = &metav1.Time{} })},
		{
			name: "capacity changed", want: want,
			have:   with(have, func(o *v0.Instance) { o.Spec.Capacity = 1 }),
			writes: []string{"apply force uid-1 " + full},
		},
		{
			name: "property changed", want: want,
			have:   with(have, func(o *v0.Instance) { o.Spec.BrokerProperties["K"] = "0" }),
			writes: []string{"apply force uid-1 " + full},
		},
		{
			name: "property gone", want: want,
			have:   with(have, func(o *v0.Instance) { o.Spec.BrokerProperties["a/b~c"] = "0" }),
			writes: []string{"patch uid-1 " + uidTest + " [test /spec/brokerProperties/a~1b~0c 0] [remove /spec/brokerProperties/a~1b~0c ]"},
		},
		{
			name: "node blanked by somebody", want: want,
			have:   with(have, func(o *v0.Instance) { o.Spec.Nodes = nil }),
			writes: []string{"apply force uid-1 " + full},
		},
		{
			name: "made by upstream: labels, id and finalizer", want: want,
			have: with(have, func(o *v0.Instance) {
				o.Labels, o.Annotations, o.Finalizers = nil, nil, []string{"other", "a"}
			}),
			writes: []string{
				"patch uid-1 " + uidTest + " [test /metadata/finalizers/1 a] [remove /metadata/finalizers/1 ]",
				"apply force uid-1 " + full,
			},
		},
		{
			name: "upstream's finalizer holds a deleted Instance", want: Want{Instance: d.Instance},
			have: with(have, func(o *v0.Instance) {
				o.DeletionTimestamp, o.Finalizers = &metav1.Time{}, []string{"a"}
			}),
			writes: []string{"patch uid-1 " + uidTest + " [test /metadata/finalizers/0 a] [remove /metadata/finalizers/0 ]"},
		},
		{
			name: "Configuration made again: the old Instance goes first", want: renewed, have: have,
			writes: []string{"delete if-owner uid-1 rv=7"},
		},
		{
			name: "another device with this hash", want: want,
			have:    with(have, func(o *v0.Instance) { o.Annotations[v0.AnnotationDeviceID] = "microphone" }),
			problem: ErrCollision, id: "microphone",
		},
		{name: "the device has an Instance by another name", want: elsewhere, problem: ErrElsewhere, id: "camera"},
		{name: "but one by this name counts", want: elsewhere, have: have},
		{
			name: "another node made one of this name", want: want,
			have:    with(have, func(o *v0.Instance) { o.Spec.Nodes = []string{"x"} }),
			problem: ErrForeign,
		},
		{
			name: "another node made a shared one of this name", want: want,
			have:    with(have, func(o *v0.Instance) { o.Spec.Shared, o.Spec.Nodes = true, []string{"x", "a"} }),
			problem: ErrForeign,
		},
		{
			name: "gone, and another node made one of this name", want: gone,
			have: with(have, func(o *v0.Instance) { o.Spec.Nodes = []string{"x"} }),
		},
		{
			name: "an Instance of another Configuration", want: want,
			have:    with(have, func(o *v0.Instance) { o.Spec.ConfigurationName = "mic" }),
			problem: ErrForeign,
		},
		{
			name: "another controller", want: want,
			have:    with(have, func(o *v0.Instance) { o.OwnerReferences[0].Kind = "Deployment" }),
			problem: ErrForeign,
		},
		{name: "gone", want: gone, have: have, writes: []string{"delete uid-1 rv=7"}},
		{name: "gone already", want: gone},
		{
			name: "gone, but the Instance is another device's", want: gone,
			have: with(have, func(o *v0.Instance) { o.Annotations[v0.AnnotationDeviceID] = "microphone" }),
		},
		{
			name: "offline", want: offline, have: have,
			writes: []string{`apply status force uid-1 a=Offline/NotReported ""`},
		},
		{
			name: "offline, said already", want: offline,
			have: with(have, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{{Name: "b"}, entry} }),
		},
		{
			name: "online again", want: want,
			have:   with(have, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{{Name: "b"}, entry} }),
			writes: []string{"patch status uid-1 " + uidTest + " [test /status/nodes/1/name a] [remove /status/nodes/1 ]"},
		},
	})
}

func TestPlanShared(t *testing.T) {
	d := deviceFor("b", true, map[string]string{"K": "1", "L": "2"})
	want := Want{Instance: d.Instance, Word: Present, Device: d}
	gone := Want{Instance: d.Instance, Word: Gone, Device: d}
	hard := gone
	hard.Hard = true
	settled := want
	settled.Settled = true
	renewed := want
	renewed.Device.Owner = "owner-2"
	full := "capacity=2 properties=map[K:1 L:2] nodes=[b]"
	unknown := Want{Instance: d.Instance}
	s0, s1 := v0.SlotID(d.Instance.Name, 0), v0.SlotID(d.Instance.Name, 1)
	claims := func(w Want, slots ...string) Want {
		w.Claims = map[string]v0.Usage{}
		for _, s := range slots {
			w.Claims[s] = v0.Usage{Node: "b", Door: v0.DoorInstance}
		}
		return w
	}
	noNodes := func(o *v0.Instance) { o.Spec.Nodes = nil }
	used := func(usage map[string]string) func(*v0.Instance) {
		return func(o *v0.Instance) { o.Spec.DeviceUsage = usage }
	}
	removeB := "patch uid-1 " + uidTest + " [test /spec/nodes/0 b] [remove /spec/nodes/0 ]"
	led := published("b", d, "a", "b")
	leads := published("b", d, "b", "a")
	differ := v0.InstanceNode{
		Name: "b", State: v0.DeviceOnline, Reason: v0.ReasonPropertiesDiffer,
		Message: "differs from node a: capacity 2; properties K", Since: seconds(time.Unix(3, 0)),
	}
	other := with(led, func(o *v0.Instance) { o.Spec.BrokerProperties["K"], o.Spec.Capacity = "9", 3 })

	runPlan(t, "b", []planCase{
		{name: "new", want: want, writes: []string{"apply " + full}},
		{
			name: "join: live values, unforced", want: want,
			have:    with(published("b", d, "a"), func(o *v0.Instance) { o.Spec.Capacity, o.Spec.BrokerProperties["K"] = 5, "9" }),
			writes:  []string{"apply uid-1 capacity=5 properties=map[K:9 L:2] nodes=[b]"},
			differs: true,
		},
		{
			name: "join: only properties that it has too", want: want,
			have:    with(published("b", d, "a"), func(o *v0.Instance) { o.Spec.BrokerProperties = map[string]string{"L": "2", "M": "3"} }),
			writes:  []string{"apply uid-1 capacity=2 properties=map[L:2] nodes=[b]"},
			differs: true,
		},
		{name: "joined", want: want, have: led},
		{name: "leads", want: want, have: leads},
		{name: "differs: not said at once", want: want, have: other, differs: true},
		{
			name: "differs: said once settled", want: settled, have: other, differs: true,
			writes: []string{`apply status force uid-1 b=Online/PropertiesDiffer "differs from node a: capacity 2; properties K"`},
		},
		{
			name: "differs: said already", want: settled, differs: true,
			have: with(other, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{differ} }),
		},
		{
			name: "differs: said before a restart", want: want, differs: true,
			have: with(other, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{differ} }),
		},
		{
			name: "differs no longer", want: want,
			have:   with(led, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{differ} }),
			writes: []string{"patch status uid-1 " + uidTest + " [test /status/nodes/0/name b] [remove /status/nodes/0 ]"},
		},
		{
			name: "the leader has taken capacity: repeat it", want: want, differs: true,
			have: with(other, func(o *v0.Instance) {
				o.ManagedFields = []metav1.ManagedFieldsEntry{ownership("b", false, "K", "L")}
			}),
			writes: []string{"apply uid-1 capacity=3 properties=map[K:9 L:2] nodes=[b]"},
		},
		{
			name: "the leader has taken a property: repeat it", want: want, differs: true,
			have: with(other, func(o *v0.Instance) {
				o.ManagedFields = []metav1.ManagedFieldsEntry{ownership("b", true, "L")}
			}),
			writes: []string{"apply uid-1 capacity=3 properties=map[K:9 L:2] nodes=[b]"},
		},
		{
			name: "leads and decides", want: want,
			have:   with(leads, func(o *v0.Instance) { o.Spec.Capacity = 9 }),
			writes: []string{"apply force uid-1 " + full},
		},
		{
			name: "leads: what others still repeat goes", want: want,
			have: with(leads, func(o *v0.Instance) { o.Spec.BrokerProperties["M"] = "3" }),
			writes: []string{"patch uid-1 " + uidTest + " [test /spec/nodes/0 b]" +
				" [test /spec/brokerProperties/M 3] [remove /spec/brokerProperties/M ]"},
		},
		{
			name: "follows: only the leader takes a property away", want: want, differs: true,
			have: with(other, func(o *v0.Instance) {
				o.Spec.BrokerProperties["M"] = "3"
				o.ManagedFields = []metav1.ManagedFieldsEntry{ownership("b", true, "L", "M")}
			}),
			writes: []string{"apply uid-1 capacity=3 properties=map[K:9 L:2 M:3] nodes=[b]"},
		},
		{name: "Configuration made again: leaves the old Instance to the others", want: renewed, have: led,
			writes: []string{"patch if-owner uid-1 " + uidTest + " [test /spec/nodes/1 b] [remove /spec/nodes/1 ]"}},
		{name: "Configuration made again: waits for the others", want: renewed, have: published("b", d, "a")},
		{name: "Configuration made again: the last deletes the old Instance", want: renewed, have: published("b", d, "b"),
			writes: []string{"delete if-owner uid-1 rv=7"}},
		{name: "Configuration made again: the last leaves the slots of others to the garbage collector", want: renewed,
			have:   with(published("b", d, "b"), func(o *v0.Instance) { o.Spec.DeviceUsage = map[string]string{d.Instance.Name + "-0": "c"} }),
			writes: []string{"patch if-owner uid-1 " + uidTest + " [test /spec/nodes/0 b] [remove /spec/nodes/0 ]"}},
		{name: "leaves", want: gone, have: led, writes: []string{"apply uid-1"}},
		{
			name: "leaves, while others depend on what it owns", want: hard, have: leads,
			writes: []string{"patch uid-1 " + uidTest + " [test /spec/nodes/0 b] [remove /spec/nodes/0 ]"},
		},
		{
			name: "leaves what upstream joined", want: gone,
			have:   with(led, func(o *v0.Instance) { o.ManagedFields = nil }),
			writes: []string{"patch uid-1 " + uidTest + " [test /spec/nodes/1 b] [remove /spec/nodes/1 ]"},
		},
		{
			name: "leaves with an entry in the status", want: gone,
			have: with(led, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{differ} }),
			writes: []string{
				"apply uid-1",
				"patch status uid-1 " + uidTest + " [test /status/nodes/0/name b] [remove /status/nodes/0 ]",
			},
		},
		{name: "has left", want: gone, have: published("b", d, "a")},
		{
			name: "has left, and the agent ended before the status said so", want: unknown,
			have:   with(published("b", d, "a"), func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{{Name: "a"}, differ} }),
			writes: []string{"patch status uid-1 " + uidTest + " [test /status/nodes/1/name b] [remove /status/nodes/1 ]"},
		},
		{
			name: "no word yet: the status stays", want: unknown,
			have: with(led, func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{differ} }),
		},
		{name: "leaves last", want: gone, have: published("b", d, "b"), writes: []string{"delete uid-1 rv=7"}},
		{
			name: "leaves last, another node's container has a slot: the Instance stays", want: gone,
			have:   with(published("b", d, "b"), used(map[string]string{s0: "a"})),
			writes: []string{removeB},
		},
		{
			name: "leaves last, a container of its own has a slot", want: claims(gone, s0),
			have:   with(published("b", d, "b"), used(map[string]string{s0: "b"})),
			writes: []string{removeB},
		},
		{
			name: "leaves last, before it knows what its containers have", want: gone,
			have:   with(published("b", d, "b"), used(map[string]string{s0: "C:" + s0 + ":b"})),
			writes: []string{removeB},
		},
		{
			name: "leaves last, what it held is free", want: claims(gone),
			have:   with(published("b", d, "b"), used(map[string]string{s0: "b", s1: ""})),
			writes: []string{"delete uid-1 rv=7"},
		},
		{
			name: "leaves last, nobody would ever free what cannot be read", want: claims(gone),
			have:   with(published("b", d, "b"), used(map[string]string{s0: "C:x"})),
			writes: []string{"delete uid-1 rv=7"},
		},
		{
			name: "without nodes, held by another", want: claims(unknown),
			have: with(published("b", d, "b"), noNodes, used(map[string]string{s0: "a"})),
		},
		{
			name: "without nodes, frees one of two", want: claims(unknown),
			have:   with(published("b", d, "b"), noNodes, used(map[string]string{s0: "a", s1: "b"})),
			writes: []string{"patch slots uid-1 " + uidTest + " [test /spec/deviceUsage/" + s1 + " b] [remove /spec/deviceUsage/" + s1 + " ]"},
		},
		{
			name: "without nodes, frees the last", want: claims(unknown),
			have:   with(published("b", d, "b"), noNodes, used(map[string]string{s1: "b"})),
			writes: []string{"delete uid-1 rv=7"},
		},
		{
			name: "without nodes, before it knows what its containers have", want: unknown,
			have: with(published("b", d, "b"), noNodes, used(map[string]string{s1: "b"})),
		},
		{
			name: "without nodes, the device is back", want: claims(want),
			have:   with(published("b", d, "b"), noNodes, used(map[string]string{s0: "a"})),
			writes: []string{"apply force uid-1 " + full},
		},
		{
			name: "nobody is left", want: gone,
			have:   with(led, func(o *v0.Instance) { o.Spec.Nodes = nil }),
			writes: []string{"delete uid-1 rv=7"},
		},
	})
}
