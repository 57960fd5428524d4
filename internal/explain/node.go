package explain

import (
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// silentAfter is how long a Lease may stay unchanged: agents renew it every
// 10 s, it is valid for 30, and clocks differ.
const silentAfter = 40 * time.Second

// refusalAge is for how long a refused handler is news: agents repeat the Event
// every 10 minutes while it tries.
const refusalAge = 20 * time.Minute

func metav1Name(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

// ready returns the condition Ready of a node; nil if there is none.
func ready(n *corev1.Node) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// lost reports whether a node is known to be gone or not ready.
func (v *view) lost(node string) bool {
	n := v.nodes[node]
	if n == nil {
		return v.saw(ReadNodes)
	}
	c := ready(n)
	return c != nil && c.Status != corev1.ConditionTrue
}

// renewed returns when an agent last renewed its Lease: by the clock of the API
// server, if the Lease says so, or else by the node's.
func renewed(l *coordinationv1.Lease) time.Time {
	var last time.Time
	for _, m := range l.ManagedFields {
		if m.Time != nil && m.Time.After(last) {
			last = m.Time.Time
		}
	}
	if last.IsZero() && l.Spec.RenewTime != nil {
		last = l.Spec.RenewTime.Time
	}
	return last
}

// nodesAndAgents finds nodes that are lost, and agents that do not respond.
func (v *view) nodesAndAgents() {
	all := sortedKeys(v.nodes)
	for n := range v.byNode {
		if v.nodes[n] == nil && v.saw(ReadNodes) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	for _, name := range all {
		if v.lost(name) {
			v.lostNode(name)
			continue
		}
		if n := v.nodes[name]; n.Spec.Unschedulable && len(v.byNode[name]) > 0 {
			f := Finding{
				Level: Warning, Step: StepNode, Cause: NodeCordoned, Subject: nodeSubject(name),
				Summary: "it is cordoned, so no new Pod is placed there", Nodes: []string{name},
				Remedy: Remedy{Commands: []string{"kubectl uncordon " + name}},
			}
			f.says(f.Subject.String(), "spec.unschedulable is true")
			v.add(f)
		}
		v.agent(name)
		v.refusedHandler(name)
	}
}

// refusedHandler reports a handler that the agent of a node has refused of late,
// and that is not one of the release's.
func (v *view) refusedHandler(name string) {
	for _, set := range v.handlerSets {
		if r := v.ref(subjectOf("DaemonSet", set), HandlerNotAccepted); r != nil && v.on(*r, name) {
			return // said there
		}
	}
	f := Finding{
		Level: Warning, Step: StepHandler, Cause: HandlerRefused, Subject: nodeSubject(name), Nodes: []string{name},
		Summary: "its agent has refused a discovery handler",
		Remedy:  Remedy{Text: "the message says who may register", See: "docs/security.md"},
	}
	for _, e := range v.eventsOf("Node", &corev1.Node{ObjectMeta: metav1Name(name)}, "DiscoveryHandlerRefused") {
		if v.Now.Sub(e.Last) < refusalAge {
			f.says("Event DiscoveryHandlerRefused, "+v.ago(e.Last)+" ago", "%s", e.Note)
		}
	}
	if len(f.Evidence) > 0 {
		v.add(f)
	}
}

func (v *view) lostNode(name string) {
	n := v.nodes[name]
	devices, held := 0, 0
	for _, inst := range v.byNode[name] {
		if slices.Contains(inst.Spec.Nodes, name) {
			devices++
		}
		for _, value := range inst.Spec.DeviceUsage {
			if u, err := v0.ParseUsage(value); err == nil && u.Node == name {
				held++
			}
		}
	}
	f := Finding{
		Level: Problem, Step: StepNode, Cause: NodeNotReady, Subject: nodeSubject(name), Nodes: []string{name},
		Summary: "it is not ready", Remedy: Remedy{Commands: []string{"kubectl describe node " + name},
			See: "docs/several-nodes.md"},
	}
	switch {
	case n == nil:
		f.Cause, f.Summary = NodeGone, "it no longer exists, and Instances name it"
		f.Remedy = Remedy{Text: "the controller takes it out of them; if it does not, its log says why",
			Commands: []string{logsOf(v.namespace(), NameController)},
			See:      "docs/several-nodes.md"}
	case len(v.byNode[name]) == 0 && v.agents[name] == nil:
		f.Level = Warning // it has nothing to do with devices
	}
	if n != nil {
		c := ready(n)
		f.says(f.Subject.String(), "Ready is %s for %s: %s", c.Status, v.ago(c.LastTransitionTime.Time), c.Message)
	}
	if l := v.leases[name]; l != nil {
		f.says("Lease "+l.Name, "its agent has last renewed it %s ago", v.ago(renewed(l)))
	}
	if devices+held > 0 {
		f.says("Instances", "%s, %s held", plural(devices, "device there", "devices there"),
			plural(held, "slot", "slots"))
		f.Remedy.Text = "after a minute its slots are given to other nodes, and after five minutes its own devices " +
			"are taken off (controller.nodeLostAfter, lastNodeLostAfter)"
	}
	v.add(f)
}

// agent finds out whether a node has an agent that responds.
func (v *view) agent(name string) {
	pod, lease := v.agents[name], v.leases[name]
	var last time.Time
	if lease != nil {
		last = renewed(lease)
	}
	silent := lease != nil && !last.IsZero() && v.Now.Sub(last) > silentAfter
	if pod == nil && v.saw(ReadPods) && !silent {
		v.noAgent(name)
		return
	}
	if !silent {
		return
	}
	f := Finding{
		Level: Problem, Step: StepNode, Cause: AgentSilent, Subject: nodeSubject(name), Nodes: []string{name},
		Summary: "its agent does not respond: what the status says of this node is what the agent saw last",
		Remedy: Remedy{Commands: []string{
			fmt.Sprintf("kubectl -n %s get pods -l %s=%s -o wide --field-selector spec.nodeName=%s",
				v.namespace(), LabelName, NameAgent, name),
		}},
	}
	f.says("Lease "+lease.Namespace+"/"+lease.Name, "it was last renewed %s ago", v.ago(last))
	switch {
	case pod == nil && v.saw(ReadPods):
		f.says("Pods", "no agent runs there")
		f.Remedy.Text = "let the agent run there again, or delete what names the node"
		f.Remedy.See = "docs/several-nodes.md"
		v.whyNoPod(&f, name)
	case pod != nil:
		f.says(subjectOf(Pod, pod).String(), "it is %s", phase(pod))
		f.Remedy.Commands = append(f.Remedy.Commands, fmt.Sprintf("kubectl -n %s logs %s", pod.Namespace, pod.Name))
		f.Remedy.Text = "the agent hangs, or cannot reach the API server: its log says which"
	}
	for _, set := range v.agentSets {
		if r := v.ref(subjectOf("DaemonSet", set), AgentNotReady); r != nil && v.on(*r, name) {
			f.Because = r
		}
	}
	v.add(f)
}

// noAgent notes that a node has no agent. That may be meant so.
func (v *view) noAgent(name string) {
	f := Finding{
		Level: Note, Step: StepNode, Cause: NoAgent, Subject: nodeSubject(name), Nodes: []string{name},
		Summary: "no agent runs there, so its devices are not looked for",
		Remedy: Remedy{Text: "if it should: agent.nodeSelectors and agent.tolerations say where agents run",
			See: "docs/install.md"},
	}
	if len(v.byNode[name]) > 0 {
		f.Level = Problem
	}
	f.Because = v.ref(Subject{Kind: "Release", Name: "akri"}, NotInstalled)
	v.whyNoPod(&f, name)
	v.add(f)
}

// whyNoPod adds as evidence what may keep the agent off a node.
func (v *view) whyNoPod(f *Finding, node string) {
	if t := taints(v.nodes[node]); t != "" {
		f.says(nodeSubject(node).String(), "it has the taints %s", t)
	}
	for _, set := range v.agentSets {
		v.setSays(f, subjectOf("DaemonSet", set), set.Spec.Template.Spec.NodeSelector,
			set.Status.DesiredNumberScheduled)
	}
}

func (v *view) setSays(f *Finding, set Subject, selector map[string]string, desired int32) {
	text := fmt.Sprintf("it wants %s", plural(int(desired), "Pod", "Pods"))
	var keys []string
	for _, k := range sortedKeys(selector) {
		if k != "kubernetes.io/os" {
			keys = append(keys, k+"="+selector[k])
		}
	}
	if len(keys) > 0 {
		text += ", on nodes with " + names(keys)
	}
	f.says(set.String(), "%s", text)
}

// on reports whether a finding is about a node.
func (v *view) on(r Ref, node string) bool {
	return slices.ContainsFunc(v.found, func(f Finding) bool {
		return f.ref() == r && slices.Contains(f.Nodes, node)
	})
}

// ago says how long ago something was, roughly.
func (v *view) ago(t time.Time) string {
	d := max(0, v.Now.Sub(t))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// phase says in a word or two what a Pod does.
func phase(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "Terminating"
	}
	if pod.Status.Reason != "" {
		return string(pod.Status.Phase) + " (" + pod.Status.Reason + ")"
	}
	if pod.Status.Phase == "" {
		return string(corev1.PodPending)
	}
	return string(pod.Status.Phase)
}
