package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// offerTime is how long a node's kubelet may take to tell of a new resource: it
// reports its status every 10 s.
const offerTime = 30 * time.Second

// holder is who has a slot.
type holder struct {
	slot, node string
	door       v0.Door
	// pods are those on the node that can have it: of the Pods that ask for one
	// resource on a node, it is not known which slot each has.
	pods []*corev1.Pod
}

func (h holder) String() string {
	if len(h.pods) == 0 {
		return fmt.Sprintf("slot %s is held on node %s; no Pod there that asks for it is known", h.slot, h.node)
	}
	var pods []string
	for _, pod := range h.pods {
		pods = append(pods, keyOf(pod).String())
	}
	return fmt.Sprintf("slot %s is held on node %s by Pod %s", h.slot, h.node, strings.Join(pods, " or "))
}

// holders returns who has the slots of an Instance, sorted by slot.
func (v *view) holders(inst *v0.Instance) []holder {
	var out []holder
	for _, slot := range sortedKeys(inst.Spec.DeviceUsage) {
		u, err := v0.ParseUsage(inst.Spec.DeviceUsage[slot])
		if err != nil || u.Free() {
			continue
		}
		if _, ours := v0.SlotIndex(inst.Name, slot); !ours {
			continue
		}
		h := holder{slot: slot, node: u.Node, door: u.Door}
		resource := inst.Name
		if u.Door == v0.DoorConfiguration {
			resource = inst.Spec.ConfigurationName
		}
		for _, pod := range v.users[resource] {
			if pod.Spec.NodeName == u.Node {
				h.pods = append(h.pods, pod)
			}
		}
		slices.SortFunc(h.pods, func(a, b *corev1.Pod) int { return strings.Compare(keyOf(a).String(), keyOf(b).String()) })
		out = append(out, h)
	}
	return out
}

// free returns how many slots of an Instance nobody has.
func (v *view) free(inst *v0.Instance) int {
	return max(0, int(inst.Spec.Capacity)-len(v.holders(inst)))
}

// heldBy adds as evidence who has the slots of an Instance.
func (v *view) heldBy(f *Finding, inst *v0.Instance) {
	for _, h := range v.holders(inst) {
		f.says(subjectOf(Device, inst).String(), "%s", h)
	}
}

// held notes that no slot of a device is free. That is what devices are for.
func (v *view) held(inst *v0.Instance) {
	if inst.Spec.Capacity == 0 || v.free(inst) > 0 {
		return
	}
	f := Finding{Level: Note, Step: StepSlots, Cause: SlotsHeld, Subject: subjectOf(Device, inst),
		Summary: fmt.Sprintf("%s, so nodes offer no more of %s", allHeld(int(inst.Spec.Capacity)),
			v0.ResourceName(inst.Name)),
		Remedy: Remedy{Text: "for more users at a time, raise spec.capacity of the Configuration"}}
	v.heldBy(&f, inst)
	v.add(f)
}

// heldOf notes that no slot of any device of a Configuration is free.
func (v *view) heldOf(c *v0.Configuration) {
	all := v.byConfiguration[keyOf(c)]
	if len(all) == 0 || slices.ContainsFunc(all, func(inst *v0.Instance) bool { return v.free(inst) > 0 }) {
		return
	}
	f := Finding{Level: Note, Step: StepSlots, Cause: SlotsHeld, Subject: subjectOf(Configuration, c),
		Summary: "the slots of all its devices are held, so nodes offer 0 of " + v0.ResourceName(c.Name),
		Remedy:  Remedy{Text: "for more users at a time, raise spec.capacity"}}
	for _, inst := range all {
		v.heldBy(&f, inst)
	}
	v.add(f)
}

func allHeld(capacity int) string {
	if capacity == 1 {
		return "its slot is held"
	}
	return fmt.Sprintf("all %d slots are held", capacity)
}

// allocatable returns how much of a resource a node offers, and whether it knows
// it.
func allocatable(n *corev1.Node, name string) (int64, bool) {
	q, ok := n.Status.Allocatable[corev1.ResourceName(v0.ResourceName(name))]
	return q.Value(), ok
}

// notOffered reports nodes that see a device with free slots, and do not offer
// it.
func (v *view) notOffered(inst *v0.Instance) {
	if v.Now.Sub(inst.CreationTimestamp.Time) < offerTime {
		return
	}
	f := Finding{Level: Problem, Step: StepSlots, Cause: NotOffered, Subject: subjectOf(Device, inst)}
	for _, name := range inst.Spec.Nodes {
		n := v.nodes[name]
		if n == nil || !v.online(inst, name) {
			continue
		}
		// What it should offer: what is free, and what it holds through this
		// resource.
		want := v.free(inst)
		for _, h := range v.holders(inst) {
			if h.node == name && h.door == v0.DoorInstance {
				want++
			}
		}
		if have, known := allocatable(n, inst.Name); want > 0 && have == 0 {
			f.Nodes = append(f.Nodes, name)
			says := "it has no resource " + v0.ResourceName(inst.Name)
			if known {
				says = v0.ResourceName(inst.Name) + " is 0, and could be " + fmt.Sprint(want)
			}
			f.says(nodeSubject(name).String(), "%s", says)
		}
	}
	if len(f.Nodes) == 0 {
		return
	}
	f.Summary = "the kubelet of " + names(f.Nodes) + " does not offer it"
	f.Remedy = Remedy{
		Text: "the kubelet reports new resources within 10 s; if it does not, its device plugin folder is another " +
			"one than the " +
			"agent's (agent.host.kubeletDevicePlugins), or the agent's log says why it cannot register",
		Commands: []string{logsOf(v.namespace(), NameAgent)},
	}
	for _, set := range v.agentSets {
		if r := v.ref(subjectOf("DaemonSet", set), AgentNotReady); r != nil && v.on(*r, f.Nodes[0]) {
			f.Because = r
		}
	}
	v.add(f)
}

// leftOver notes resources of a node whose device is gone.
func (v *view) leftOver(n *corev1.Node) {
	if !v.saw(ReadInstances, ReadConfigurations) {
		return
	}
	known := map[string]bool{}
	for key := range v.instances {
		known[key.Name] = true
	}
	for key := range v.configurations {
		known[key.Name] = true
	}
	var left []string
	for resource, q := range n.Status.Allocatable {
		name, ours := strings.CutPrefix(string(resource), v0.ResourcePrefix+"/")
		if ours && !known[name] && q.IsZero() {
			left = append(left, string(resource))
		}
	}
	if len(left) == 0 {
		return
	}
	slices.Sort(left)
	f := Finding{Level: Note, Step: StepSlots, Cause: ResourceLeftOver, Subject: nodeSubject(n.Name),
		Nodes:   []string{n.Name},
		Summary: "it has resources of devices that are gone: " + names(left),
		Remedy: Remedy{Text: "they are 0 and do no harm; the controller removes them about 11 minutes after the " +
			"device has gone"}}
	f.says(f.Subject.String(), "allocatable: %s", names(left))
	v.add(f)
}
