package explain

import (
	"fmt"
	"strings"

	v0 "github.com/akri-go/akri/api/v0"
)

// group is nodes that say the same of a Configuration.
type group struct {
	nodes []string
	says  map[string]string // by node
}

func (g *group) add(node, says string) {
	if g.says == nil {
		g.says = map[string]string{}
	}
	g.nodes = append(g.nodes, node)
	g.says[node] = says
}

func (g *group) evidence(f *Finding) {
	f.Nodes = append(f.Nodes, g.nodes...)
	for _, n := range g.nodes {
		f.says("status of node "+n, "%s", g.says[n])
	}
}

// entries goes through what the agents say of a Configuration. What the agent of
// a lost node said last does not count.
func (v *view) entries(c *v0.Configuration) {
	var waiting, silent, failed, properties, taken, empty, without group
	active, devices := 0, int32(0)
	told := map[string]bool{}
	for _, n := range c.Status.Nodes {
		told[n.Name] = true
		if v.away(n.Name) != nil {
			continue
		}
		message := parse(n.Message)
		if message.Without != "" {
			without.add(n.Name, message.Without)
		}
		switch {
		case n.State == v0.DiscoveryActive:
			active++
			devices += n.Devices
			if n.Devices == 0 {
				empty.add(n.Name, "it is Active, and finds 0 devices")
			}
			v.notes(c, n.Name, message.Rest)
		case n.State == v0.DiscoveryFailed && strings.Contains(n.Message, "belongs to the older Configuration"):
			taken.add(n.Name, n.Message)
		case n.State == v0.DiscoveryFailed && isOfProperty(n.Message):
			properties.add(n.Name, n.Message)
		case n.State == v0.DiscoveryFailed:
			failed.add(n.Name, n.Message)
		case strings.Contains(n.Message, "nothing was reported"):
			silent.add(n.Name, n.Message)
		default:
			waiting.add(n.Name, or(n.Message, "it is Waiting"))
		}
	}
	v.failed(c, taken, properties, failed, without, active)
	v.waiting(c, waiting, silent, active)
	if v.saw(ReadInstances) && len(v.byConfiguration[keyOf(c)]) == 0 && active > 0 && len(without.nodes) == 0 &&
		devices == 0 {
		v.nothingFound(c, empty)
	}
	v.untold(c, told)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func isOfProperty(message string) bool {
	return strings.Contains(message, "discovery property ") ||
		strings.Contains(message, "Secrets and ConfigMaps are referred to")
}

// failed reports requests that were refused.
func (v *view) failed(c *v0.Configuration, taken, properties, failed, without group, active int) {
	base := Finding{Level: Problem, Step: StepConfiguration, Subject: subjectOf(Configuration, c)}
	if len(taken.nodes) > 0 {
		f := base
		f.Cause, f.Summary = NameTaken, "an older Configuration of another namespace has its name"
		f.Remedy = Remedy{Text: "make one of the two again under another name", See: "docs/configuration.md"}
		taken.evidence(&f)
		v.add(f)
	}
	if len(properties.nodes) > 0 {
		f := base
		f.Cause, f.Summary = PropertyUnreadable, "its discoveryProperties cannot be read on "+names(properties.nodes)
		f.Remedy = Remedy{Text: "the message says what to create, or what to allow", See: "docs/configuration.md"}
		for _, p := range c.Spec.DiscoveryHandler.DiscoveryProperties {
			switch from := p.ValueFrom; {
			case from == nil:
			case from.SecretKeyRef != nil:
				f.Remedy.Commands = append(f.Remedy.Commands, getRef("secret", c, from.SecretKeyRef))
			case from.ConfigMapKeyRef != nil:
				f.Remedy.Commands = append(f.Remedy.Commands, getRef("configmap", c, from.ConfigMapKeyRef))
			}
		}
		f.Remedy.Commands = f.Remedy.Commands[:min(len(f.Remedy.Commands), maxNames)]
		properties.evidence(&f)
		v.add(f)
	}
	if len(failed.nodes) > 0 {
		f := base
		f.Step, f.Cause, f.Summary = StepHandler, DiscoveryFailed, "discovery fails on "+names(failed.nodes)+": "+
			plainly(first(failed))
		f.Remedy = Remedy{Text: "the message says what was refused; if not, the handler's log does",
			See:      handlerPage(c),
			Commands: v.handlerLog(c)}
		if active > 0 {
			f.Level = Warning
		}
		failed.evidence(&f)
		v.add(f)
	}
	if len(without.nodes) > 0 {
		f := base
		f.Step, f.Cause, f.Summary = StepDevice, DeviceRefused, "devices on "+names(without.nodes)+" have no "+
			"Instance: "+oneLine(first(without))
		f.Remedy = Remedy{Text: "the message says why; if the agent may not write Instances, install this " +
			"release's roles and policies"}
		without.evidence(&f)
		for _, e := range v.eventsOf("Configuration", c, "DeviceRefused", "InstanceRefused") {
			f.says("Event "+e.Reason, "%s", e.Note)
		}
		v.add(f)
	}
}

func first(g group) string { return g.says[g.nodes[0]] }

func getRef(kind string, c *v0.Configuration, ref *v0.DiscoveryPropertyKeySelector) string {
	return fmt.Sprintf("kubectl -n %s get %s %s", or(ref.Namespace, "default"), kind, ref.Name)
}

// handlerLog returns the command that shows the log of a Configuration's
// handler.
func (v *view) handlerLog(c *v0.Configuration) []string {
	for _, set := range v.handlerSets {
		if runs(set, c.Spec.DiscoveryHandler.Name) {
			return []string{logsOf(set.Namespace, set.Labels[LabelName])}
		}
	}
	return nil
}

// nothingFound reports that handlers answer and find nothing.
func (v *view) nothingFound(c *v0.Configuration, empty group) {
	f := Finding{
		Level: Warning, Step: StepDevice, Cause: NothingFound, Subject: subjectOf(Configuration, c),
		Summary: fmt.Sprintf("the handler %s answers on %s, and no device is what it asks for",
			c.Spec.DiscoveryHandler.Name,
			names(empty.nodes)),
		Remedy: Remedy{Text: "on the node that has the device, see what the Configuration finds there, and mend " +
			"it", See: handlerPage(c)},
	}
	f.Remedy.Commands = append(f.Remedy.Commands, fmt.Sprintf("kubectl -n %s get akric %s -o yaml >%s.yaml",
		c.Namespace, c.Name, c.Name),
		fmt.Sprintf("akri discover -f %s.yaml", c.Name))
	if c.Spec.DiscoveryHandler.Name == "udev" {
		f.Remedy.Commands = append(f.Remedy.Commands, "akri discover udev --rule-help </dev/…>")
	}
	f.Because = v.ref(f.Subject, LeftOut, NoUdevRecords, DeviceRefused, HandlerSays)
	empty.evidence(&f)
	for _, e := range v.eventsOf("Configuration", c, "DeviceLost") {
		f.says("Event DeviceLost, "+v.ago(e.Last)+" ago", "%s", e.Note)
	}
	v.add(f)
}

// untold reports nodes whose agent responds and says nothing of a Configuration.
func (v *view) untold(c *v0.Configuration, told map[string]bool) {
	if v.Now.Sub(c.CreationTimestamp.Time) < settleTime {
		return
	}
	f := Finding{
		Level: Problem, Step: StepHandler, Cause: AgentSaysNothing, Subject: subjectOf(Configuration, c),
		Remedy: Remedy{Text: "the agent cannot read Configurations, or not write their status: its log says why",
			Commands: []string{logsOf(v.namespace(), NameAgent)}},
	}
	for _, n := range v.agentNodes() {
		if !told[n] {
			f.Nodes = append(f.Nodes, n)
		}
	}
	if len(f.Nodes) == 0 {
		if len(told) == 0 {
			v.noAgents(c)
		}
		return
	}
	f.Summary = "the agents of " + names(f.Nodes) + " say nothing of it"
	f.says(f.Subject.String(), "it was created %s ago, and status.nodes has no entry for %s",
		v.ago(c.CreationTimestamp.Time), names(f.Nodes))
	for _, set := range v.agentSets {
		if r := v.ref(subjectOf("DaemonSet", set), AgentNotReady); r != nil {
			f.Because = r
		}
	}
	v.add(f)
}

// noAgents reports a Configuration that no agent can have seen.
func (v *view) noAgents(c *v0.Configuration) {
	f := Finding{
		Level: Problem, Step: StepHandler, Cause: AgentSaysNothing, Subject: subjectOf(Configuration, c),
		Summary: "no agent has seen it", Because: v.ref(Subject{Kind: "Release", Name: "akri"}, NotInstalled),
		Remedy: Remedy{Commands: []string{"kubectl get pods -A -o wide -l " + LabelName + "=" + NameAgent}},
	}
	f.says(f.Subject.String(), "it was created %s ago, and status.nodes is empty", v.ago(c.CreationTimestamp.Time))
	v.add(f)
}
