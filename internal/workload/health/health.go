// Package health judges how a broker's Pod is doing, from what its status says.
// The controller writes it into conditions, and `akri explain` says it of any
// Pod that asks for a device.
package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// startTimeout is how long a broker may take to start and become ready.
	startTimeout = time.Minute
	// schedulingTimeout is how long a broker may be unschedulable: the kubelet
	// reports new resources with its next status.
	schedulingTimeout = 30 * time.Second
	// stablePeriod is how long a restarted container must have run to count as
	// well: it also runs between two crashes.
	stablePeriod = time.Minute
)

// Health is how a broker is doing.
type Health int

// Values of Health, from good to bad.
const (
	// Ready: it runs, or is a Job's Pod that has succeeded.
	Ready Health = iota
	// Recovering: it runs again, but not for long enough.
	Recovering
	// Starting: it does not run yet, and has time left.
	Starting
	// Broken: it does not run, and waiting will not help.
	Broken
)

// Broker is how a broker's Pod is doing.
type Broker struct {
	Name     string
	UID      types.UID
	Instance string
	Health   Health
	// Reason is one word, such as CrashLoopBackOff; Why is for people.
	Reason, Why string
	// RequeueAfter is when the result changes if nothing else happens; 0 is
	// never.
	RequeueAfter time.Duration
}

// Judge returns how a broker's Pod is doing. A Pod of a Job (ofJob) may end.
func Judge(pod *corev1.Pod, ofJob bool, now time.Time) Broker {
	b := Broker{Name: pod.Name, UID: pod.UID}
	age := now.Sub(pod.CreationTimestamp.Time)
	switch {
	case pod.Status.Phase == corev1.PodSucceeded && ofJob:
		return b
	case pod.Status.Phase == corev1.PodSucceeded:
		return b.broken("Completed", "it ended, but a broker must run for as long as its device is there")
	case pod.Status.Phase == corev1.PodFailed:
		reason := pod.Status.Reason
		if reason == "" {
			reason = "Failed"
		}
		return b.broken(reason, ended(pod))
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		// Until the kubelet syncs the Pod again, possibly when the back-off is
		// over, its status says only that the container has ended.
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 && c.RestartCount > 0 {
			return b.broken(CrashLoop, crashes(c, t))
		}
		w := c.State.Waiting
		if w == nil || w.Reason == "" || w.Reason == "PodInitializing" || w.Reason == "ContainerCreating" && age < startTimeout {
			continue
		}
		if t := c.LastTerminationState.Terminated; t != nil && w.Reason == CrashLoop {
			return b.broken(CrashLoop, crashes(c, t)) // the same text all the time
		}
		why := "container " + c.Name
		if w.Message != "" {
			why += ": " + w.Message
		}
		if t := c.LastTerminationState.Terminated; t != nil {
			why += fmt.Sprintf(" (exit code %d, %d restarts)", t.ExitCode, c.RestartCount)
		}
		return b.broken(w.Reason, why)
	}
	b.Health = Starting
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			if left := schedulingTimeout - now.Sub(c.LastTransitionTime.Time); left > 0 {
				b.RequeueAfter = left
				return b
			}
			reason := c.Reason
			if reason == "" {
				reason = corev1.PodReasonUnschedulable
			}
			return b.broken(reason, c.Message)
		}
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			b.Health = Ready
		}
	}
	if b.Health == Ready {
		for _, c := range pod.Status.ContainerStatuses {
			if c.RestartCount == 0 || c.State.Running == nil {
				continue
			}
			if left := stablePeriod - now.Sub(c.State.Running.StartedAt.Time); left > 0 {
				b.Health, b.RequeueAfter = Recovering, max(b.RequeueAfter, left)
			}
		}
		return b
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil { // perhaps it was restarted
			age = min(age, now.Sub(c.State.Running.StartedAt.Time))
		}
	}
	if left := startTimeout - age; left > 0 {
		b.RequeueAfter = left
		return b
	}
	if ofJob && pod.Status.Phase == corev1.PodRunning {
		b.Health = Ready
		return b
	}
	why := "it is not ready"
	if containers := ended(pod); containers != "" {
		why += ": " + containers
	}
	return b.broken("NotReady", why)
}

// CrashLoop is the kubelet's reason for a container that it restarts again and
// again, with growing delays.
const CrashLoop = "CrashLoopBackOff"

// crashes says how a container ends that is restarted again and again.
func crashes(c corev1.ContainerStatus, t *corev1.ContainerStateTerminated) string {
	how := fmt.Sprintf("exit code %d", t.ExitCode)
	if t.Reason != "" && t.Reason != "Error" {
		how += ", " + t.Reason
	}
	return fmt.Sprintf("container %s ends and is restarted (%s, %d restarts)", c.Name, how, c.RestartCount)
}

// Denied reports whether the kubelet refused to admit a Pod.
func Denied(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodFailed {
		return false
	}
	switch r := pod.Status.Reason; r {
	case "UnexpectedAdmissionError", "TopologyAffinityError", "NodeAffinity", "NodePorts":
		return true
	default:
		return strings.HasPrefix(r, "OutOf")
	}
}

// LastTries leaves out Pods of Jobs that failed and were followed by another.
// They exist as long as their Job, and say nothing about it.
func LastTries(pods []*corev1.Pod) []*corev1.Pod {
	jobOf := func(pod *corev1.Pod) types.UID {
		if ref := metav1.GetControllerOfNoCopy(pod); ref != nil && ref.Kind == "Job" {
			return ref.UID
		}
		return ""
	}
	last := map[types.UID]time.Time{}
	for _, pod := range pods {
		if job := jobOf(pod); pod.CreationTimestamp.After(last[job]) {
			last[job] = pod.CreationTimestamp.Time
		}
	}
	return slices.DeleteFunc(pods, func(pod *corev1.Pod) bool {
		job := jobOf(pod)
		return job != "" && pod.Status.Phase == corev1.PodFailed && last[job].After(pod.CreationTimestamp.Time)
	})
}

func (b Broker) broken(reason, why string) Broker {
	b.Health, b.Reason, b.Why = Broken, word(reason), why
	return b
}

var isWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// word makes a reason valid for conditions.
func word(reason string) string {
	if !isWord.MatchString(reason) {
		return "NotReady"
	}
	return reason
}

// ended says how a Pod, or its failed containers, ended.
func ended(pod *corev1.Pod) string {
	var parts []string
	if pod.Status.Message != "" {
		parts = append(parts, pod.Status.Message)
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if t := c.State.Terminated; t != nil && (t.ExitCode != 0 || pod.Status.Phase == corev1.PodFailed) {
			parts = append(parts, fmt.Sprintf("container %s: exit code %d", c.Name, t.ExitCode))
		}
	}
	return strings.Join(parts, ", ")
}
