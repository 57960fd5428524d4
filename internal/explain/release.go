package explain

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/akri-go/akri/internal/workload/health"
)

// release finds what is wrong with the release as a whole.
func (v *view) release() {
	if len(v.agentSets) == 0 && len(v.agents) == 0 && len(v.leases) == 0 &&
		v.saw(ReadDaemonSets, ReadPods, ReadLeases) {
		f := Finding{
			Level: Problem, Step: StepRelease, Cause: NotInstalled, Subject: Subject{Kind: "Release", Name: "akri"},
			Summary: "no agent is installed, so nobody looks for devices",
			Remedy: Remedy{
				Commands: []string{"helm install akri <chart> --namespace akri --create-namespace --set " +
					"udev.discovery.enabled=true"},
				See: "docs/install.md",
			},
		}
		f.says("DaemonSets", "none has the label %s=%s", LabelName, NameAgent)
		v.add(f)
	}
	v.controller()
	v.webhook()
	for _, set := range append(slices.Clone(v.agentSets), v.handlerSets...) {
		v.daemonSet(set)
	}
}

func (v *view) controller() {
	wanted := slices.ContainsFunc(v.Configurations, wantsController)
	if len(v.controllers) == 0 {
		if !wanted || !v.saw(ReadDeployments) || v.ref(Subject{Kind: "Release", Name: "akri"}, NotInstalled) != nil {
			return
		}
		f := Finding{
			Level: Problem, Step: StepRelease, Cause: ControllerNotReady, Subject: Subject{Kind: "Deployment",
				Name: "akri-controller-deployment"},
			Summary: "no controller is installed, so no broker and no Service is made",
			Remedy:  Remedy{Commands: []string{v.helm("controller.enabled=true")}},
		}
		f.says("Deployments", "none has the label %s=%s", LabelName, NameController)
		v.add(f)
		return
	}
	d := v.controllers[0]
	if slices.ContainsFunc(v.controllers, func(d *appsv1.Deployment) bool { return d.Status.ReadyReplicas > 0 }) {
		return
	}
	f := Finding{
		Level: Problem, Step: StepRelease, Cause: ControllerNotReady, Subject: subjectOf("Deployment", d),
		Summary: "no controller is ready: no broker is made, moved or replaced",
	}
	if v.Webhook != nil && v.Webhook.Registered {
		f.Summary += ", and the API server refuses new Configurations and changed specs"
	}
	f.says(f.Subject.String(), "%d of %d replicas are ready", d.Status.ReadyReplicas, ptr.Deref(d.Spec.Replicas, 1))
	v.pods(&f, d.Namespace, NameController, "")
	f.Remedy.Commands = []string{
		fmt.Sprintf("kubectl -n %s describe pods -l %s=%s", d.Namespace, LabelName, NameController),
		logsOf(d.Namespace, NameController),
	}
	if ptr.Deref(d.Spec.Replicas, 1) == 0 {
		f.Summary = "it is scaled to 0, so no broker is made, moved or replaced"
		f.Remedy = Remedy{Commands: []string{fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=2",
			d.Namespace, d.Name)}}
	}
	v.add(f)
}

// pods adds as evidence how the Pods of a part of the release are doing that are
// not well.
func (v *view) pods(f *Finding, namespace, name, node string) {
	for i := range v.Pods {
		pod := &v.Pods[i]
		if pod.Labels[LabelName] != name || pod.Namespace != namespace || node != "" && pod.Spec.NodeName != node {
			continue
		}
		if b := health.Judge(pod, false, v.Now); b.Health == health.Broken {
			f.says(subjectOf(Pod, pod).String(), "%s: %s", b.Reason, b.Why)
		}
	}
}

func (v *view) webhook() {
	w := v.Webhook
	if w == nil {
		return // it is not enabled, or was not read
	}
	subject := Subject{Kind: "ValidatingWebhookConfiguration", Name: WebhookName}
	if !w.Registered {
		if v.ref(subjectOf("Deployment", v.anyController()), ControllerNotReady) != nil {
			return // it registers the webhook when it is ready
		}
		f := Finding{
			Level: Warning, Step: StepRelease, Cause: WebhookNotRegistered, Subject: subject,
			Summary: "the webhook is not registered, so wrong Configurations are accepted",
			Remedy: Remedy{
				Text:     "the controller's log says what it waits for",
				Commands: []string{logsOf(v.namespace(), NameController)},
			},
		}
		f.says(subject.String(), "it has no webhooks")
		v.add(f)
		return
	}
	if end := expiry(w.CABundle); !end.IsZero() && v.Now.After(end) {
		f := Finding{
			Level: Problem, Step: StepRelease, Cause: WebhookCertificate, Subject: subject,
			Summary: "the webhook's certificate authority has expired, so the API server refuses new Configurations",
			Remedy: Remedy{
				Text: "with a caBundle of your own, renew the certificate in the Secret and the caBundle; else " +
					"restart the controllers",
				Commands: []string{fmt.Sprintf("kubectl -n %s rollout restart deployment akri-controller-deployment",
					v.namespace())},
			},
		}
		f.says(subject.String(), "its caBundle was valid until %s", end.UTC().Format(time.RFC3339))
		v.add(f)
	}
}

func (v *view) anyController() object {
	if len(v.controllers) > 0 {
		return v.controllers[0]
	}
	return &appsv1.Deployment{}
}

// expiry returns when the last of some certificates expires; zero if there is
// none that can be read.
func expiry(bundle []byte) time.Time {
	var last time.Time
	for len(bundle) > 0 {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && c.NotAfter.After(last) {
			last = c.NotAfter
		}
	}
	return last
}

// daemonSet finds the Pods of agents or handlers that do not run. What is wrong
// with many of them is one finding.
func (v *view) daemonSet(set *appsv1.DaemonSet) {
	agent := set.Labels[LabelName] == NameAgent
	f := Finding{
		Level: Problem, Step: StepRelease, Cause: HandlerNotRunning, Subject: subjectOf("DaemonSet", set),
		Remedy: Remedy{Commands: []string{
			fmt.Sprintf("kubectl -n %s describe pods -l %s=%s", set.Namespace, LabelName, set.Labels[LabelName]),
			logsOf(set.Namespace, set.Labels[LabelName]),
		}},
	}
	if agent {
		f.Cause = AgentNotReady
	}
	nodes := sortedKeys(v.handlers)
	if agent {
		nodes = sortedKeys(v.agents)
	}
	for _, node := range nodes {
		pod := v.podOf(set, node)
		if pod == nil || v.lost(node) {
			continue
		}
		b := health.Judge(pod, false, v.Now)
		if b.Health != health.Broken {
			continue
		}
		f.Nodes = append(f.Nodes, node)
		f.says(subjectOf(Pod, pod).String()+" on "+node, "%s: %s", b.Reason, b.Why)
		if b.Reason != "NotReady" {
			continue
		}
		if !agent {
			f.Cause = HandlerNotAccepted
		}
		for _, e := range v.eventsOf("Node", &corev1.Node{ObjectMeta: metav1Name(node)}, "DiscoveryHandlerRefused") {
			f.says("Event DiscoveryHandlerRefused on "+node, "%s", e.Note)
		}
	}
	if len(f.Nodes) == 0 {
		return
	}
	switch f.Cause {
	case AgentNotReady:
		f.Summary = "the agent is not ready on " + names(f.Nodes)
		f.Remedy.Text = "its log says why"
	case HandlerNotAccepted:
		f.Summary = "no agent has accepted the handler on " + names(f.Nodes)
		f.Remedy.Text = "its log says why; `waiting until …` means that something has the name of its socket in " +
			"/var/lib/akri"
		f.Remedy.See = "docs/troubleshooting.md"
	default:
		f.Summary = "the handler does not run on " + names(f.Nodes)
	}
	v.add(f)
}

// podOf returns the Pod of a DaemonSet on a node, or nil.
func (v *view) podOf(set *appsv1.DaemonSet, node string) *corev1.Pod {
	name := set.Labels[LabelName]
	if name == NameAgent {
		return v.agents[node]
	}
	for _, pod := range v.handlers[node] {
		if pod.Labels[LabelName] == name && pod.Namespace == set.Namespace {
			return pod
		}
	}
	return nil
}

// namespace returns the release's namespace.
func (v *view) namespace() string {
	for _, set := range v.agentSets {
		return set.Namespace
	}
	for _, d := range v.controllers {
		return d.Namespace
	}
	return "<namespace>"
}

// helm returns the command that sets a value of the release.
func (v *view) helm(value string) string {
	release := "akri"
	for _, set := range v.agentSets {
		if name := set.Labels[labelRelease]; name != "" {
			release = name
		}
	}
	return fmt.Sprintf("helm upgrade %s <chart> --namespace %s --reuse-values --set %s", release, v.namespace(),
		value)
}

// logsOf is the command that shows the logs of a part of the release.
func logsOf(namespace, name string) string {
	return fmt.Sprintf("kubectl -n %s logs -l %s=%s --prefix", namespace, LabelName, name)
}

// taints lists what keeps Pods off a node.
func taints(n *corev1.Node) string {
	var out []string
	for _, t := range n.Spec.Taints {
		if t.Effect != corev1.TaintEffectPreferNoSchedule {
			out = append(out, t.Key+":"+string(t.Effect))
		}
	}
	return strings.Join(out, ", ")
}
