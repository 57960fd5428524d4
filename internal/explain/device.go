package explain

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// deviceName is what a person calls the device of an Instance.
func deviceName(inst *v0.Instance) string {
	return or(inst.Status.Device, inst.Annotations[v0.AnnotationDeviceID])
}

func configurationKey(inst *v0.Instance) types.NamespacedName {
	return types.NamespacedName{Namespace: inst.Namespace, Name: inst.Spec.ConfigurationName}
}

// entryOf returns what a node says of an Instance; nil if nothing.
func entryOf(inst *v0.Instance, node string) *v0.InstanceNode {
	for i := range inst.Status.Nodes {
		if inst.Status.Nodes[i].Name == node {
			return &inst.Status.Nodes[i]
		}
	}
	return nil
}

// online reports whether a node sees a device, as far as is known.
func (v *view) online(inst *v0.Instance, node string) bool {
	e := entryOf(inst, node)
	return slices.Contains(inst.Spec.Nodes, node) && (e == nil || e.State != v0.DeviceOffline) && v.away(node) == nil
}

// onlineAnywhere reports whether a node sees a device.
func (v *view) onlineAnywhere(inst *v0.Instance) bool {
	return slices.ContainsFunc(inst.Spec.Nodes, func(n string) bool { return v.online(inst, n) })
}

// device finds what is wrong with the device of an Instance, and why it cannot
// be used.
func (v *view) device(inst *v0.Instance) {
	if inst.DeletionTimestamp != nil {
		v.deleting(subjectOf(Device, inst), "instances.akri.sh", inst)
		return
	}
	v.offline(inst)
	v.differs(inst)
	v.outdated(inst)
	v.notOffered(inst)
	v.held(inst)
}

// offline reports a device that no node sees.
func (v *view) offline(inst *v0.Instance) {
	if v.onlineAnywhere(inst) {
		return
	}
	f := Finding{Level: Problem, Step: StepDevice, Cause: DeviceOffline, Subject: subjectOf(Device, inst),
		Nodes: slices.Clone(inst.Spec.Nodes)}
	f.says(f.Subject.String(), "%s, found for Configuration %s", or(deviceName(inst), "a device"),
		configurationKey(inst))
	var gone, away bool
	for _, n := range inst.Spec.Nodes {
		e := entryOf(inst, n)
		switch r := v.away(n); {
		case r != nil:
			away, f.Because = true, r
		case e != nil && e.State == v0.DeviceOffline:
			gone = gone || e.Reason == v0.ReasonHandlerGone
			since := ""
			if e.Since != nil {
				since = " for " + v.ago(e.Since.Time)
			}
			f.says("status of node "+n, "%s%s: %s %s", e.State, since, e.Reason, e.Message)
		}
	}
	switch {
	case len(inst.Spec.Nodes) == 0:
		f.Summary = "no node sees the device any longer; the Instance stays while Pods have its slots"
		f.Remedy.Text = "plug the device in again, or delete these Pods"
		v.heldBy(&f, inst)
	case away:
		f.Cause = DeviceUnknown
		f.Summary = "nobody knows whether the device is there: the agents of " + names(inst.Spec.Nodes) +
			" do not respond"
		f.Remedy = Remedy{Text: "mend the node or its agent first", See: "docs/several-nodes.md"}
	case gone:
		f.Summary = "no handler is connected that could report the device"
		f.Remedy = Remedy{Text: "the device stays for up to five minutes; let the handler run again"}
		if c := v.configurations[configurationKey(inst)]; c != nil {
			f.Remedy.Commands = v.handlerLog(c)
			f.Because = v.ref(subjectOf(Configuration, c), HandlerNotRunning, HandlerNotOnNode,
				HandlerNotInstalled, HandlerSilent)
		}
	default:
		f.Summary = "the device is missing: it was unplugged, or no longer is what its Configuration asks for"
		f.Remedy.Text = "plug it in again; when its grace period is over, the Instance is deleted, with its brokers"
		if !inst.Spec.Shared && len(inst.Spec.Nodes) == 1 {
			f.Remedy.Text += " (node " + inst.Spec.Nodes[0] + ")"
		}
	}
	v.add(f)
}

// differs reports that nodes see a shared device differently.
func (v *view) differs(inst *v0.Instance) {
	f := Finding{
		Level: Warning, Step: StepDevice, Cause: PropertiesDiffer, Subject: subjectOf(Device, inst),
		Remedy: Remedy{Text: "brokers get what the first of its nodes reports; with one version of the handler and " +
			"the same discoveryProperties on all nodes they agree", See: "docs/several-nodes.md"},
	}
	for _, e := range inst.Status.Nodes {
		if e.Reason == v0.ReasonPropertiesDiffer && v.away(e.Name) == nil {
			f.Nodes = append(f.Nodes, e.Name)
			f.says("status of node "+e.Name, "%s", e.Message)
		}
	}
	if len(f.Nodes) > 0 {
		f.Summary = "its nodes report different properties of the device"
		v.add(f)
	}
}

// outdated reports Pods that have the device as it was before it changed. Brokers
// are replaced by the controller.
func (v *view) outdated(inst *v0.Instance) {
	for _, e := range inst.Status.Nodes {
		for _, slot := range e.Outdated {
			if slot.PodNamespace == inst.Namespace && slot.PodName == workload.PodName(inst.Name, e.Name,
				inst.Spec.Shared) {
				continue
			}
			pod := Subject{Kind: Pod, Namespace: slot.PodNamespace, Name: slot.PodName}
			f := Finding{
				Level: Problem, Step: StepPod, Cause: PodOutdated, Subject: pod, Nodes: []string{e.Name},
				Summary: "it has the device as it was before a change: " + oneLine(slot.Change),
				Remedy: Remedy{
					Text:     "delete it, so that its Deployment or Job makes a new one",
					Commands: []string{fmt.Sprintf("kubectl -n %s delete pod %s", slot.PodNamespace, slot.PodName)},
					See:      "docs/use-a-device.md",
				},
			}
			f.says(subjectOf(Device, inst).String(), "slot %s: %s", slot.Slot, slot.Change)
			v.add(f)
		}
	}
}

// wanted explains a device that has no Instance: what each Configuration says
// that could have found it.
func (v *view) wanted(s Subject) Finding {
	f := Finding{Level: Problem, Step: StepDevice, Cause: DeviceNotFound, Subject: s,
		Summary: "no Instance is this device", Remedy: Remedy{See: "docs/troubleshooting.md"}}
	configuration, _ := v.configurationOf(s)
	if configuration == nil && strings.Contains(s.Name, "-") && len(v0.HashOf(s.Name)) == 6 &&
		!strings.ContainsAny(s.Name, "/:") {
		f.says("Configurations", "none is called %s", strings.TrimSuffix(s.Name, "-"+v0.HashOf(s.Name)))
	}
	for i := range v.Configurations {
		c := &v.Configurations[i]
		if s.Namespace != "" && c.Namespace != s.Namespace || configuration != nil && c != configuration {
			continue
		}
		for _, e := range v.eventsOf("Configuration", c, "DeviceLost") {
			if strings.Contains(e.Note, s.Name) || configuration != nil {
				f.Cause, f.Summary = DeviceLostEarlier, "the device is not there any longer"
				f.says("Event DeviceLost, "+v.ago(e.Last)+" ago", "%s", e.Note)
			}
		}
		f.says(subjectOf(Configuration, c).String(), "handler %s, %s: %s", c.Spec.DiscoveryHandler.Name,
			plural(len(v.byConfiguration[keyOf(c)]), "device", "devices"), v.stateOf(c))
	}
	switch {
	case len(v.Configurations) == 0 && v.saw(ReadConfigurations):
		f.Summary = "there is no Configuration, so nobody looks for devices"
		f.says("Configurations", "there is none")
		f.Remedy = Remedy{Text: "write one that asks for the device", See: "docs/configuration.md"}
	case strings.HasPrefix(s.Name, "/dev/"):
		f.Remedy.Text = "on the node that has it: the first command shows what a rule for it can say, the second " +
			"what a Configuration finds"
		f.Remedy.Commands = []string{"akri discover udev --rule-help " + s.Name,
			"akri discover -f <configuration.yaml>"}
	default:
		f.Remedy.Text = "see what a Configuration finds on the node that should find it"
		f.Remedy.Commands = []string{"akri discover -f <configuration.yaml>"}
	}
	return f
}

// configurationOf returns the Configuration whose Instance a name would be.
func (v *view) configurationOf(s Subject) (*v0.Configuration, bool) {
	hash := v0.HashOf(s.Name)
	if hash == "" {
		return nil, false
	}
	for i := range v.Configurations {
		c := &v.Configurations[i]
		if v0.InstanceName(c.Name, hash) == s.Name && (s.Namespace == "" || s.Namespace == c.Namespace) {
			return c, true
		}
	}
	return nil, false
}

// stateOf says in a few words how discovery for a Configuration goes.
func (v *view) stateOf(c *v0.Configuration) string {
	var parts []string
	for _, state := range []v0.DiscoveryState{v0.DiscoveryActive, v0.DiscoveryWaiting, v0.DiscoveryFailed} {
		var nodes []string
		for _, n := range c.Status.Nodes {
			if n.State == state && v.away(n.Name) == nil {
				nodes = append(nodes, n.Name)
			}
		}
		if len(nodes) > 0 {
			parts = append(parts, fmt.Sprintf("%s on %s", state, names(nodes)))
		}
	}
	return or(strings.Join(parts, ", "), "no agent says anything of it")
}
