package publish

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// What containers were given and is no longer so is said as long as the slots
// are held, and not taken back for not being known.
func TestPlanOutdated(t *testing.T) {
	d := deviceFor("a", false, nil)
	slot := v0.SlotID(d.Instance.Name, 0)
	usage := map[string]v0.Usage{slot: {Node: "a", Door: v0.DoorInstance}}
	old := v0.OutdatedSlot{Slot: slot, PodName: "p", PodUID: "u", Change: "moved"}
	plain := with(published("a", d, "a"), func(o *v0.Instance) { o.Spec.DeviceUsage = map[string]string{slot: "a"} })
	said := with(plain, func(o *v0.Instance) {
		o.Status.Nodes = []v0.InstanceNode{{
			Name: "a", State: v0.DeviceOnline, Reason: v0.ReasonDeviceChanged,
			Message: "slots whose containers have the device as it was before: 1", Outdated: []v0.OutdatedSlot{old},
		}}
	})
	want := func(slots []v0.OutdatedSlot, change ...func(*Want)) Want {
		w := Want{Instance: d.Instance, Word: Present, Device: d, Claims: usage, Outdated: slots}
		for _, f := range change {
			f(&w)
		}
		return w
	}
	offline := func(w *Want) { w.Device.State, w.Device.Reason = v0.DeviceOffline, v0.ReasonNotReported }
	freed := func(w *Want) { w.Claims = map[string]v0.Usage{} }
	remove := "patch status uid-1 " + uidTest + " [test /status/nodes/0/name a] [remove /status/nodes/0 ]"
	runPlan(t, "a", []planCase{
		{name: "none", want: want([]v0.OutdatedSlot{}), have: plain},
		{
			name: "one", want: want([]v0.OutdatedSlot{old}), have: plain,
			writes: []string{`apply status force uid-1 a=Online/DeviceChanged "slots whose containers have the device as it was before: 1" p:moved`},
		},
		{name: "said already", want: want([]v0.OutdatedSlot{old}), have: said},
		{name: "not known since the start", want: want(nil), have: said},
		{
			name: "another change", want: want([]v0.OutdatedSlot{{Slot: slot, PodName: "p", PodUID: "u", Change: "moved on"}}), have: said,
			writes: []string{`apply status force uid-1 a=Online/DeviceChanged "slots whose containers have the device as it was before: 1" p:moved on`},
		},
		{name: "replaced", want: want([]v0.OutdatedSlot{}), have: said, writes: []string{remove}},
		{
			name: "freed, and not known since the start", want: want(nil, freed), have: said,
			writes: []string{"patch slots uid-1 " + uidTest + " [test /spec/deviceUsage/" + slot + " a] [remove /spec/deviceUsage/" + slot + " ]", remove},
		},
		{
			name: "away meanwhile", want: want(nil, offline), have: said,
			writes: []string{`apply status force uid-1 a=Offline/NotReported "" p:moved`},
		},
	})
}

func TestPlanClaims(t *testing.T) {
	d := deviceFor("b", true, nil)
	s0, s1 := v0.SlotID(d.Instance.Name, 0), v0.SlotID(d.Instance.Name, 1)
	s9 := v0.SlotID(d.Instance.Name, 9)
	p0 := "/spec/deviceUsage/" + s0
	own := v0.Usage{Node: "b", Door: v0.DoorInstance}
	virtual := v0.Usage{Node: "b", Door: v0.DoorConfiguration, VirtualDevice: s0}
	want := func(claims map[string]v0.Usage) Want {
		return Want{Instance: d.Instance, Word: Present, Device: d, Claims: claims}
	}
	have := func(usage map[string]string) *v0.Instance {
		return with(published("b", d, "a", "b"), func(o *v0.Instance) { o.Spec.DeviceUsage = usage })
	}
	none := map[string]v0.Usage{}
	unknown := Want{Instance: d.Instance, Claims: map[string]v0.Usage{s0: own}}
	left := Want{Instance: d.Instance, Word: Gone, Device: d, Claims: map[string]v0.Usage{s0: own}}
	asked := func(w Want) Want { w.Asked = true; return w }

	runPlan(t, "b", []planCase{
		{name: "not known: left alone", want: want(nil), have: have(map[string]string{s0: "b", s1: ""})},
		{
			name: "claim a free slot", want: want(map[string]v0.Usage{s0: own}), have: have(nil),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":b]"},
		},
		{
			name: "claim through the other door", want: want(map[string]v0.Usage{s0: virtual}), have: have(nil),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":C:" + s0 + ":b]"},
		},
		{name: "claimed", want: want(map[string]v0.Usage{s0: own}), have: have(map[string]string{s0: "b", s1: "a"})},
		{
			name: "one more: the whole set", want: want(map[string]v0.Usage{s0: own, s1: own}), have: have(map[string]string{s0: "b"}),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":b " + s1 + ":b]"},
		},
		{
			name: "taken: not in the apply", want: want(map[string]v0.Usage{s0: own, s1: own}), have: have(map[string]string{s0: "a"}),
			writes: []string{"apply slots uid-1 usage=map[" + s1 + ":b]"},
			taken:  []string{s0},
		},
		{
			name: "what cannot be read is taken", want: want(map[string]v0.Usage{s0: own}), have: have(map[string]string{s0: "C:x"}),
			taken: []string{s0},
		},
		{
			name: "beyond the capacity: not claimed anew, nor in the way of others", want: want(map[string]v0.Usage{s0: own, s9: own}), have: have(nil),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":b]"},
			beyond: []string{s9},
		},
		{name: "beyond the capacity: kept", want: want(map[string]v0.Usage{s9: own}), have: have(map[string]string{s9: "b"})},
		{
			name: "upstream's free slot: out of the way first", want: want(map[string]v0.Usage{s0: own}),
			have: have(map[string]string{s0: "", s1: ""}),
			writes: []string{
				"patch slots uid-1 " + uidTest + " [test " + p0 + " ] [remove " + p0 + " ]",
				"apply slots uid-1 usage=map[" + s0 + ":b]",
			},
		},
		{
			name: "own slot, other door", want: want(map[string]v0.Usage{s0: virtual}), have: have(map[string]string{s0: "b"}),
			writes: []string{"patch slots uid-1 " + uidTest + " [test " + p0 + " b] [replace " + p0 + " C:" + s0 + ":b]"},
		},
		{
			name: "free", want: want(none), have: have(map[string]string{s0: "C:cam-0:b", s1: "a"}),
			writes: []string{"patch slots uid-1 " + uidTest + " [test " + p0 + " C:cam-0:b] [remove " + p0 + " ]"},
		},
		{
			name: "free and claim", want: want(map[string]v0.Usage{s1: own}), have: have(map[string]string{s0: "b"}),
			writes: []string{
				"patch slots uid-1 " + uidTest + " [test " + p0 + " b] [remove " + p0 + " ]",
				"apply slots uid-1 usage=map[" + s1 + ":b]",
			},
		},
		{
			name: "held beyond a smaller capacity: stays", want: want(map[string]v0.Usage{v0.SlotID(d.Instance.Name, 7): own}),
			have: have(map[string]string{v0.SlotID(d.Instance.Name, 7): "b"}),
		},
		{
			name: "no word yet: claims go their way", want: unknown, have: have(nil),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":b]"},
		},
		{
			name: "a container has it, and another node made the Instance again", want: unknown,
			have:   published("b", d, "a"),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":b]"},
		},
		{
			name: "for a container that waits: not on an Instance without this node", want: asked(unknown),
			have: published("b", d, "a"),
		},
		{
			name: "left with a container still running: held", want: left,
			have: with(published("b", d, "a"), func(o *v0.Instance) { o.Spec.DeviceUsage = map[string]string{s0: "b"} }),
		},
		{
			name: "on the way out nothing is given", want: asked(left), have: have(map[string]string{s1: "a"}),
			writes: []string{"apply uid-1"},
		},
		{
			name: "on the way out, a container has it", want: left, have: have(map[string]string{s1: "a"}),
			writes: []string{"apply slots uid-1 usage=map[" + s0 + ":b]", "apply uid-1"},
		},
		{
			name: "left, container gone", want: Want{Instance: d.Instance, Word: Gone, Device: d, Claims: none},
			have: with(published("b", d, "a"), func(o *v0.Instance) {
				o.Spec.DeviceUsage = map[string]string{s0: "b", s1: "a"}
			}),
			writes: []string{"patch slots uid-1 " + uidTest + " [test " + p0 + " b] [remove " + p0 + " ]"},
		},
		{
			name: "being deleted", want: want(map[string]v0.Usage{s0: own}),
			have: with(have(nil), func(o *v0.Instance) { o.DeletionTimestamp = &metav1.Time{} }),
		},
	})
}
