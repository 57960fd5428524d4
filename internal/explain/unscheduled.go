package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// unscheduled reports why there is no node for a Pod: the scheduler only says
// which resource there is too little of.
func (v *view) unscheduled(f Finding, pod *corev1.Pod) {
	wanted := asks(pod)
	for _, name := range sortedKeys(wanted) {
		c, inst := v.named(name)
		g := f
		g.Step, g.Evidence = StepSlots, slices.Clone(f.Evidence)
		known := true
		switch {
		case c != nil:
			known = v.lacksConfiguration(&g, c, wanted[name])
		case inst != nil:
			known = v.lacksDevice(&g, inst, wanted[name])
		case v.saw(ReadConfigurations, ReadInstances):
			v.noSuchResource(&g, name)
		default:
			known = false
		}
		if known {
			v.add(g)
			return
		}
	}
	f.Cause, f.Summary = Unschedulable, "there is no node for it: "+oneLine(unscheduled(pod).Message)
	f.Remedy.Text = "the scheduler's message says what each node lacks"
	v.add(f)
}

// named returns the Configuration and the Instance that a resource is of. Names
// of resources have no namespace: the oldest Configuration has them.
func (v *view) named(name string) (*v0.Configuration, *v0.Instance) {
	var c *v0.Configuration
	for i := range v.Configurations {
		if v.Configurations[i].Name == name {
			c = &v.Configurations[i]
			if first := v.firstOfName(c); first != nil {
				c = first
			}
			break
		}
	}
	for i := range v.Instances {
		if v.Instances[i].Name == name {
			return c, &v.Instances[i]
		}
	}
	return c, nil
}

func (v *view) noSuchResource(f *Finding, name string) {
	f.Cause, f.Summary = NoSuchResource, fmt.Sprintf("it asks for %s, and neither a Configuration nor a device has "+
		"this name", v0.ResourceName(name))
	f.Remedy = Remedy{Text: "ask for akri.sh/<Configuration>, for any of its devices, or for akri.sh/<Instance>",
		See: "docs/use-a-device.md"}
	if c, ok := v.configurationOf(Subject{Kind: Device, Name: name}); ok {
		f.Summary = fmt.Sprintf("it asks for %s, and Configuration %s has no such device now",
			v0.ResourceName(name), keyOf(c))
		for _, e := range v.eventsOf("Configuration", c, "DeviceLost") {
			f.says("Event DeviceLost, "+v.ago(e.Last)+" ago", "%s", e.Note)
		}
		return
	}
	var all []string
	for _, c := range v.Configurations {
		all = append(all, c.Name)
	}
	if len(all) > 0 {
		f.says("Configurations", "there are %s", names(all))
	}
}

// lacksConfiguration explains that a Configuration's resource does not suffice.
func (v *view) lacksConfiguration(f *Finding, c *v0.Configuration, n int64) bool {
	resource := v0.ResourceName(c.Name)
	all := v.byConfiguration[keyOf(c)]
	if !v.saw(ReadInstances) {
		return false
	}
	perNode := map[string]int64{}
	free := 0
	for _, inst := range all {
		for _, node := range inst.Spec.Nodes {
			if v.online(inst, node) {
				perNode[node]++
			}
		}
		if v.onlineAnywhere(inst) {
			free += v.free(inst)
		}
	}
	most := int64(0)
	for _, k := range perNode {
		most = max(most, k)
	}
	switch {
	case most == 0:
		f.Cause, f.Summary = DeviceNotFound, fmt.Sprintf("it waits for %s, and Configuration %s has no device "+
			"now", resource, keyOf(c))
		f.Because = v.reason(c, all)
		f.says(subjectOf(Configuration, c).String(), "%s: %s", plural(len(all), "device", "devices"), v.stateOf(c))
		f.Remedy = Remedy{Commands: []string{fmt.Sprintf("akri explain configuration %s -n %s", c.Name, c.Namespace)}}
	case n > most:
		f.Cause = AsksTooMany
		f.Summary = fmt.Sprintf("it asks for %d different devices of Configuration %s, and no node has more than "+
			"%d", n, keyOf(c), most)
		f.Remedy = Remedy{Text: "lower the number; several slots of one device come from akri.sh/<Instance>",
			See: "docs/use-a-device.md"}
	case free == 0:
		f.Cause, f.Summary = SlotsHeld, fmt.Sprintf("it waits for %s, and all slots are held", resource)
		f.Remedy.Text = "it starts when one of these Pods ends; for more users at a time, raise spec.capacity"
		for _, inst := range all {
			v.heldBy(f, inst)
		}
	default:
		return false
	}
	return true
}

// reason returns the finding that says why a Configuration has no device.
func (v *view) reason(c *v0.Configuration, all []*v0.Instance) *Ref {
	var best *Finding
	for i := range v.found {
		f := &v.found[i]
		about := f.Subject == subjectOf(Configuration, c) && f.Step.rank() <= StepDevice.rank() && f.Level != Note ||
			slices.ContainsFunc(all, func(inst *v0.Instance) bool {
				return f.Subject == subjectOf(Device, inst) && f.Step == StepDevice && f.Level == Problem
			})
		if about && (best == nil || compareFindings(*f, *best) < 0) {
			best = f
		}
	}
	if best == nil {
		return nil
	}
	r := best.ref()
	return &r
}

// lacksDevice explains that the resource of one device does not suffice.
func (v *view) lacksDevice(f *Finding, inst *v0.Instance, n int64) bool {
	resource := v0.ResourceName(inst.Name)
	switch r := v.offlineRef(inst); {
	case r != nil:
		f.Cause, f.Because, f.Summary = DeviceOffline, r, fmt.Sprintf("it waits for %s, and the device is "+
			"missing", resource)
		f.Remedy = Remedy{Commands: []string{fmt.Sprintf("akri explain device %s -n %s", inst.Name, inst.Namespace)}}
	case n > inst.Spec.Capacity:
		f.Cause, f.Summary = AsksTooMany, fmt.Sprintf("it asks for %d slots of %s, and the device has %d", n,
			inst.Name, inst.Spec.Capacity)
		f.Remedy = Remedy{Text: "lower the number, or raise spec.capacity of Configuration " +
			configurationKey(inst).String()}
	case v.ref(subjectOf(Device, inst), NotOffered) != nil:
		f.Because = v.ref(subjectOf(Device, inst), NotOffered)
		f.Cause, f.Summary = NotOffered, fmt.Sprintf("it waits for %s, which no node offers", resource)
	case v.free(inst) < int(n):
		f.Cause = SlotsHeld
		f.Summary = fmt.Sprintf("it waits for %s, and %s", resource, allHeld(int(inst.Spec.Capacity)))
		if v.free(inst) > 0 {
			f.Summary = fmt.Sprintf("it waits for %d slots of %s, and %d are free", n, resource, v.free(inst))
		}
		f.Remedy.Text = "it starts when a Pod that has one ends; for more users at a time, raise spec.capacity"
		v.heldBy(f, inst)
	default:
		return false
	}
	return true
}
