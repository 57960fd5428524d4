package explain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/workload/health"
)

// relevant returns the Pods that use devices, or should: brokers, and those that
// ask for a resource of ours. Of a Job that was retried, the last Pod counts.
func (v *view) relevant() []*corev1.Pod {
	var out []*corev1.Pod
	for i := range v.Pods {
		if pod := &v.Pods[i]; instanceOf(pod).Name != "" || len(asks(pod)) > 0 {
			out = append(out, pod)
		}
	}
	return health.LastTries(out)
}

func ofJob(pod *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(pod)
	return ref != nil && ref.Kind == "Job"
}

// pod finds why a Pod does not run.
func (v *view) pod(pod *corev1.Pod) {
	f := Finding{Level: Problem, Step: StepPod, Subject: subjectOf(Pod, pod), Remedy: Remedy{
		Commands: []string{fmt.Sprintf("kubectl -n %s describe pod %s", pod.Namespace, pod.Name)}}}
	if pod.Spec.NodeName != "" {
		f.Nodes = []string{pod.Spec.NodeName}
		f.Because = v.ref(nodeSubject(pod.Spec.NodeName), NodeNotReady, NodeGone)
	}
	if at := pod.DeletionTimestamp; at != nil {
		if v.Now.Sub(at.Time) > settleTime { // the time includes the grace period
			v.terminating(f, pod)
		}
		return
	}
	if f.Because != nil {
		f.Cause, f.Summary = PodNotReady, "its node "+pod.Spec.NodeName+" is lost; nobody knows whether it still runs"
		f.says(f.Subject.String(), "it was %s", phase(pod))
		f.Remedy = Remedy{See: "docs/several-nodes.md"}
		v.add(f)
		return
	}
	b := health.Judge(pod, ofJob(pod), v.Now)
	if b.Health != health.Broken || pod.Status.Phase == corev1.PodSucceeded && instanceOf(pod).Name == "" {
		return
	}
	f.says(f.Subject.String(), "%s: %s", b.Reason, b.Why)
	switch {
	case health.Denied(pod):
		v.denied(f, pod)
	case pod.Status.Phase == corev1.PodFailed, pod.Status.Phase == corev1.PodSucceeded:
		f.Cause, f.Summary = PodEnded, "it has ended: "+oneLine(or(b.Why, b.Reason))
		f.Remedy.Commands = append(f.Remedy.Commands, logs(pod, ""))
		v.ended(&f, pod)
		v.add(f)
	case unscheduled(pod) != nil:
		v.unscheduled(f, pod)
	default:
		v.container(f, pod, b)
	}
}

func (v *view) terminating(f Finding, pod *corev1.Pod) {
	f.Cause, f.Summary = PodTerminating, "it was deleted, and has not ended"
	f.says(f.Subject.String(), "it should have ended %s ago", v.ago(pod.DeletionTimestamp.Time))
	if len(pod.Finalizers) > 0 {
		f.says(f.Subject.String(), "it has the finalizers %s", names(pod.Finalizers))
	}
	if f.Because != nil {
		f.Level, f.Summary = Warning, "it was deleted, and stays until its lost node is back or its Node is deleted"
		f.Remedy = Remedy{Text: "when you know that the machine is off, delete its Node",
			Commands: []string{"kubectl delete node " + pod.Spec.NodeName}, See: "docs/several-nodes.md"}
	}
	v.add(f)
}

// denied reports a Pod that the kubelet refused to admit.
func (v *view) denied(f Finding, pod *corev1.Pod) {
	f.Cause, f.Summary = AdmissionFailed, "node "+pod.Spec.NodeName+" did not admit it: "+oneLine(pod.Status.Message)
	f.Remedy = Remedy{Text: "such a Pod never starts; what made it makes another", See: "docs/troubleshooting.md",
		Commands: []string{fmt.Sprintf("kubectl -n %s delete pods --field-selector status.phase=Failed",
			pod.Namespace)}}
	switch text := pod.Status.Message; {
	case strings.Contains(text, "is not there"):
		f.Cause = DevicePathIsMissing
		f.Summary = "the device node was not there when it came to node " + pod.Spec.NodeName
		f.Remedy.Text = "the device was unplugged in the same moment. If it happens every time: the agent does not " +
			"see the node's /dev " +
			"(--host-root), or the node has no such device node, as in a cluster whose nodes are containers"
	case strings.Contains(text, "slot is taken"):
		f.Summary = "another node or Pod took the slot in the same moment"
	case strings.Contains(text, "is offline"), strings.Contains(text, "no such device now"):
		f.Summary = "the device went away in the same moment"
	}
	for name := range asks(pod) {
		for key, inst := range v.instances {
			if key.Name == name {
				v.heldBy(&f, inst)
			}
		}
	}
	v.ended(&f, pod)
	v.add(f)
}

// ended makes light of a Pod that has a successor.
func (v *view) ended(f *Finding, pod *corev1.Pod) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		if f.Cause == AdmissionFailed {
			f.Remedy.Text = "such a Pod never starts, and nothing owns it: make it again, best by a Deployment or " +
				"a Job"
		}
		return
	}
	for i := range v.Pods {
		o := &v.Pods[i]
		if ref := metav1.GetControllerOfNoCopy(o); ref != nil && ref.UID == owner.UID &&
			o.Namespace == pod.Namespace && !over(o) {
			f.Level = Note
			f.says(subjectOf(Pod, o).String(), "it has taken its place")
			return
		}
	}
}

func logs(pod *corev1.Pod, container string) string {
	cmd := fmt.Sprintf("kubectl -n %s logs %s", pod.Namespace, pod.Name)
	if container != "" && len(pod.Spec.Containers)+len(pod.Spec.InitContainers) > 1 {
		cmd += " -c " + container
	}
	if slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.RestartCount > 0 }) {
		cmd += " --previous"
	}
	return cmd
}

// container reports a Pod that has a node, and does not run there.
func (v *view) container(f Finding, pod *corev1.Pod, b health.Broker) {
	name, text := worst(pod)
	all := b.Why + " " + text
	f.Summary = b.Reason + ": " + oneLine(b.Why)
	switch b.Reason {
	case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError":
		f.Cause, f.Summary = ImagePull, "the image of container "+name+" cannot be had: "+oneLine(text)
		f.Remedy.Text = "correct the image's name or tag, or give the Pod imagePullSecrets"
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if c.Name == name {
				f.says(f.Subject.String(), "container %s has the image %s", name, c.Image)
			}
		}
	case "CreateContainerConfigError":
		f.Cause, f.Summary = ConfigMissing, "container "+name+" refers to what is not there: "+oneLine(text)
		f.Remedy.Text = "create the Secret, the ConfigMap or the key that the message names"
	case health.CrashLoop, "CreateContainerError", "RunContainerError", "StartError", "NotReady":
		switch {
		case strings.Contains(all, "/dev/") && strings.Contains(all, "no such file or directory"):
			f.Cause, f.Summary = DeviceNodeGone, "the device has got another number since the Pod was made, and "+
				"its device node is gone"
			f.Remedy = Remedy{Text: "the controller replaces a broker; delete a Pod of your own, so that a new one " +
				"is made",
				Commands: []string{fmt.Sprintf("kubectl -n %s delete pod %s", pod.Namespace,
					pod.Name)}, See: "docs/use-a-device.md"}
		case strings.Contains(all, "OOMKilled"):
			f.Cause, f.Summary = OutOfMemory, "container "+name+" needs more memory than its limit: "+oneLine(b.Why)
			f.Remedy = Remedy{Text: "raise resources.limits.memory of the container"}
		case b.Reason == health.CrashLoop:
			f.Cause, f.Summary = Crashing, oneLine(b.Why)
			f.Remedy.Commands = append(f.Remedy.Commands, logs(pod, name))
			f.Remedy.Text = "its log says why; if it may not open the device, look at the owner and the mode of " +
				"the device node"
			f.Remedy.See = "docs/use-a-device.md"
		case b.Reason == "NotReady":
			f.Cause, f.Summary = PodNotReady, "it runs and is not ready"
			f.Remedy.Commands = append(f.Remedy.Commands, logs(pod, name))
			f.Remedy.Text = "its readiness probe fails: its log says why"
			if pod.Status.Phase == corev1.PodPending {
				f.Summary, f.Remedy.Text = "it has a node, and does not start", ""
			}
		default:
			f.Cause = ContainerNotMade
		}
	default:
		f.Cause = ContainerNotMade
	}
	if text != "" && !strings.Contains(b.Why, text) {
		f.says("container "+name, "%s", text)
	}
	v.add(f)
}

// worst returns the container that holds a Pod up, and what is said of it.
func worst(pod *corev1.Pod) (name, text string) {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" {
			name, text = c.Name, w.Message
			if t := c.LastTerminationState.Terminated; t != nil {
				text = strings.TrimSpace(text + " " + t.Message)
			}
			return name, text
		}
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
			return c.Name, t.Message
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if !c.Ready {
			return c.Name, ""
		}
	}
	return "", ""
}

// unscheduled returns the condition of a Pod for which there is no node; nil if
// there is one, or has not been looked for.
func unscheduled(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse &&
			pod.Spec.NodeName == "" {
			return c
		}
	}
	return nil
}
