package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload/health"
)

// Which findings concern a subject: those about it, and those about what it is
// made of. What they follow from is added by withCauses.

func (v *view) ofConfiguration(s Subject) []Finding {
	mine := map[Subject]bool{s: true}
	for _, inst := range v.byConfiguration[s.name()] {
		mine[subjectOf(Device, inst)] = true
		for _, pod := range v.brokers[keyOf(inst)] {
			mine[subjectOf(Pod, pod)] = true
		}
		for _, j := range v.jobs[keyOf(inst)] {
			mine[subjectOf("Job", j)] = true
		}
	}
	return v.where(func(f Finding) bool {
		// That a device is in use is news of that device.
		return mine[f.Subject] && (f.Level != Note || f.Subject == s) || v.general(f)
	})
}

// general reports whether a finding concerns everything.
func (v *view) general(f Finding) bool {
	return f.Cause == NotInstalled || f.Cause == ControllerNotReady
}

func (v *view) ofDevice(inst *v0.Instance) []Finding {
	mine := map[Subject]bool{subjectOf(Device, inst): true}
	for _, pod := range v.brokers[keyOf(inst)] {
		mine[subjectOf(Pod, pod)] = true
	}
	for _, j := range v.jobs[keyOf(inst)] {
		mine[subjectOf("Job", j)] = true
	}
	for _, n := range inst.Status.Nodes {
		for _, slot := range n.Outdated {
			mine[Subject{Pod, slot.PodNamespace, slot.PodName}] = true
		}
	}
	configuration := Subject{Configuration, inst.Namespace, inst.Spec.ConfigurationName}
	return v.where(func(f Finding) bool {
		// Of its Configuration, what concerns all devices.
		return mine[f.Subject] || v.general(f) || f.Subject == configuration && f.Step.rank() >= StepBroker.rank()
	})
}

func (v *view) ofNode(name string) []Finding {
	return v.where(func(f Finding) bool {
		return f.Subject == nodeSubject(name) || slices.Contains(f.Nodes, name) && f.Level != Note || v.general(f)
	})
}

// ofPod explains a Pod. It may be one that has nothing to do with devices.
func (v *view) ofPod(pod *corev1.Pod) []Finding {
	s := subjectOf(Pod, pod)
	if len(asks(pod)) == 0 && instanceOf(pod).Name == "" {
		own := *v // what is found only now does not stay
		own.found, own.known = slices.Clone(v.found), maps.Clone(v.known)
		v = &own
		v.pod(pod)
		f := Finding{Level: Note, Step: StepSlots, Cause: PodAsksForNothing, Subject: s,
			Summary: "it asks for no device",
			Remedy: Remedy{Text: "a container gets one that has akri.sh/<Configuration> or akri.sh/<Instance> in " +
				"its limits", See: "docs/use-a-device.md"}}
		f.says(s.String(), "no container has a resource %s/… in its limits", v0.ResourcePrefix)
		v.add(f)
	}
	return v.about(s)
}

// The facts of a subject, and its state in a few words.

func (v *view) factsOfConfiguration(c *v0.Configuration) (facts []Evidence, state string) {
	all := v.byConfiguration[keyOf(c)]
	state = fmt.Sprintf("handler %s is %s; %s", c.Spec.DiscoveryHandler.Name, v.stateOf(c),
		plural(len(all), "device", "devices"))
	if c.Status.Brokers != "" {
		state += ", " + c.Status.Brokers + " brokers ready"
	}
	for i, inst := range all {
		if i == maxEvidence {
			facts = append(facts, Evidence{"Instances", fmt.Sprintf("and %d more", len(all)-i)})
			break
		}
		facts = append(facts, Evidence{subjectOf(Device, inst).String(), v.sentence(inst)})
	}
	return facts, state
}

// sentence says how a device is doing.
func (v *view) sentence(inst *v0.Instance) string {
	where := "seen by no node"
	if len(inst.Spec.Nodes) > 0 {
		where = "on " + names(inst.Spec.Nodes)
	}
	return fmt.Sprintf("%s, %s, %d of %s held", or(deviceName(inst), "a device"), where, len(v.holders(inst)),
		plural(int(inst.Spec.Capacity), "slot", "slots"))
}

func (v *view) factsOfDevice(inst *v0.Instance) (facts []Evidence, state string) {
	state = v.sentence(inst)
	for _, h := range v.holders(inst) {
		facts = append(facts, Evidence{"slots", h.String()})
	}
	for _, name := range inst.Spec.Nodes {
		if n := v.nodes[name]; n != nil {
			have, known := allocatable(n, inst.Name)
			says := fmt.Sprintf("it offers %d of %s", have, v0.ResourceName(inst.Name))
			if !known {
				says = "it does not offer " + v0.ResourceName(inst.Name)
			}
			facts = append(facts, Evidence{nodeSubject(name).String(), says})
		}
	}
	for _, pod := range v.brokers[keyOf(inst)] {
		facts = append(facts, Evidence{"broker", v.podSentence(pod)})
	}
	return facts[:min(len(facts), 2*maxEvidence)], state
}

func (v *view) factsOfNode(name string) (facts []Evidence, state string) {
	n := v.nodes[name]
	if n == nil {
		return nil, "there is no such Node"
	}
	state = "Ready"
	if v.lost(name) {
		state = "not ready"
	}
	agent := "no agent runs there"
	if pod := v.agents[name]; pod != nil {
		agent = "its agent is " + phase(pod)
	}
	var handlers []string
	for _, pod := range v.handlers[name] {
		handlers = append(handlers, pod.Labels[LabelName])
	}
	if len(handlers) > 0 {
		agent += ", handlers: " + names(handlers)
	}
	devices := 0
	for _, inst := range v.byNode[name] {
		if slices.Contains(inst.Spec.Nodes, name) {
			devices++
		}
	}
	state = fmt.Sprintf("%s; %s; %s", state, agent, plural(devices, "device", "devices"))
	var offers []string
	for resource, q := range n.Status.Allocatable {
		if strings.HasPrefix(string(resource), v0.ResourcePrefix+"/") {
			offer := fmt.Sprintf("%s: %s", resource, q.String())
			if q.IsZero() {
				offer += v.whyZero(name, strings.TrimPrefix(string(resource), v0.ResourcePrefix+"/"))
			}
			offers = append(offers, offer)
		}
	}
	slices.Sort(offers)
	for i, o := range offers {
		if i == maxEvidence {
			facts = append(facts, Evidence{"offers", fmt.Sprintf("and %d more", len(offers)-i)})
			break
		}
		facts = append(facts, Evidence{"offers", o})
	}
	return facts, state
}

// whyZero says in brackets why a node offers 0 of a resource; "" if that is not
// known.
func (v *view) whyZero(node, name string) string {
	c, inst := v.named(name)
	var all []*v0.Instance
	switch {
	case inst != nil:
		all = []*v0.Instance{inst}
	case c != nil:
		all = v.byConfiguration[keyOf(c)]
	case v.saw(ReadInstances, ReadConfigurations):
		return " (its device is gone)"
	default:
		return ""
	}
	here, free := 0, 0
	for _, inst := range all {
		if v.online(inst, node) {
			here++
			free += v.free(inst)
		}
	}
	switch {
	case here == 0:
		return " (it sees no such device)"
	case free == 0:
		return " (all slots are held)"
	}
	return ""
}

func (v *view) podSentence(pod *corev1.Pod) string {
	text := fmt.Sprintf("%s/%s is %s", pod.Namespace, pod.Name, phase(pod))
	if pod.Spec.NodeName != "" {
		text += " on " + pod.Spec.NodeName
	}
	return text
}

func (v *view) factsOfPod(pod *corev1.Pod) (facts []Evidence, state string) {
	state = phase(pod)
	if b := health.Judge(pod, ofJob(pod), v.Now); b.Health == health.Starting && !over(pod) {
		state += ", and has time left to start"
		if c := unscheduled(pod); c != nil {
			facts = append(facts, Evidence{"scheduler", c.Message})
		}
	}
	if pod.Spec.NodeName != "" {
		state += " on " + pod.Spec.NodeName
	}
	wanted := asks(pod)
	for _, name := range sortedKeys(wanted) {
		facts = append(facts, Evidence{"asks for", fmt.Sprintf("%d of %s", wanted[name], v0.ResourceName(name))})
	}
	if of := instanceOf(pod); of.Name != "" {
		facts = append(facts, Evidence{"broker of", of.String()})
	}
	return facts, state
}
