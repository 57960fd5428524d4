package health

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var (
	t0 = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	t1 = metav1.NewTime(t0.Add(time.Hour))
)

func TestJudge(t *testing.T) {
	now := t1.Time
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	container := func(s corev1.ContainerState, restarts int32) corev1.ContainerStatus {
		c := corev1.ContainerStatus{Name: "c", State: s, RestartCount: restarts}
		if restarts > 0 {
			c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 3}
		}
		return c
	}
	waiting := func(reason string, restarts int32) corev1.ContainerStatus {
		return container(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "m"}}, restarts)
	}
	running := func(since time.Duration, restarts int32) corev1.ContainerStatus {
		return container(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(since)}}, restarts)
	}
	dead := func(code int32, reason string, restarts int32) corev1.ContainerStatus {
		return container(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}, restarts)
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	noRoomFor := func(d time.Duration) corev1.PodCondition {
		return corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes", LastTransitionTime: ago(d)}
	}
	for _, tt := range []struct {
		name   string
		age    time.Duration
		job    bool
		status corev1.PodStatus
		want   string // health, reason, again
		says   string
	}{
		{"new", time.Second, false, corev1.PodStatus{}, "Starting  59s", ""},
		{"runs", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}, ContainerStatuses: []corev1.ContainerStatus{running(time.Hour, 0)}}, "Ready  0s", ""},
		{"crashes", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", 4)}}, "Broken CrashLoopBackOff 0s", "exit code 3, 4 restarts"},
		// As the kubelet of 1.37 shows it for nearly all of the back-off.
		{"has crashed and waits", 5 * time.Second, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{dead(3, "Error", 1)}},
			"Broken CrashLoopBackOff 0s", "container c ends and is restarted (exit code 3, 1 restarts)"},
		{"has too little memory", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{dead(137, "OOMKilled", 9)}},
			"Broken CrashLoopBackOff 0s", "(exit code 137, OOMKilled, 9 restarts)"},
		{"has crashed just now", 5 * time.Second, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{dead(3, "Error", 0)}}, "Starting  55s", ""},
		{"one of two has ended for good", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(time.Hour, 0), dead(3, "Error", 0)}},
			"Broken NotReady 0s", "it is not ready: container c: exit code 3"},
		{"an init container has done its work", 5 * time.Second, false, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{dead(0, "Completed", 2)}}, "Starting  55s", ""},
		{"was started again and is not ready yet", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(20*time.Second, 4)}}, "Starting  40s", ""},
		{"between two crashes", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}, ContainerStatuses: []corev1.ContainerStatus{running(20*time.Second, 4)}}, "Recovering  40s", ""},
		{"crashed long ago", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}, ContainerStatuses: []corev1.ContainerStatus{running(time.Minute, 4)}}, "Ready  0s", ""},
		{"no such image", time.Second, false, corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("ImagePullBackOff", 0)}}, "Broken ImagePullBackOff 0s", "container c: m"},
		{"the device node is gone", time.Second, false, corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("CreateContainerError", 0)}}, "Broken CreateContainerError 0s", "m"},
		{"cannot be run", time.Second, false, corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("RunContainerError", 1)}}, "Broken RunContainerError 0s", "m"},
		{"an init container", time.Second, false, corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{waiting("CrashLoopBackOff", 1)},
			ContainerStatuses: []corev1.ContainerStatus{waiting("PodInitializing", 0)}}, "Broken CrashLoopBackOff 0s", ""},
		{"is created", time.Second, false, corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", 0)}}, "Starting  59s", ""},
		{"is created for ever", time.Hour, false, corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", 0)}}, "Broken ContainerCreating 0s", ""},
		{"the kubelet has not told of the resource yet", time.Minute, false, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{noRoomFor(10 * time.Second)}}, "Starting  20s", ""},
		{"no room", time.Hour, false, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{noRoomFor(time.Minute)}}, "Broken Unschedulable 0s", "0/1 nodes"},
		{"runs and is not ready", time.Hour, false, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(time.Hour, 0)}}, "Broken NotReady 0s", ""},
		{"ended", time.Hour, false, corev1.PodStatus{Phase: corev1.PodSucceeded}, "Broken Completed 0s", ""},
		{"failed", time.Hour, false, corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{container(corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 7}}, 0)}}, "Broken Failed 0s", "exit code 7"},
		{"denied", time.Hour, false, corev1.PodStatus{Phase: corev1.PodFailed, Reason: "UnexpectedAdmissionError", Message: "taken"}, "Broken UnexpectedAdmissionError 0s", "taken"},
		{"a Job's that is done", time.Hour, true, corev1.PodStatus{Phase: corev1.PodSucceeded}, "Ready  0s", ""},
		{"a Job's that runs", time.Hour, true, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running(time.Hour, 0)}}, "Ready  0s", ""},
		{"a reason that is no word", time.Hour, false, corev1.PodStatus{Phase: corev1.PodFailed, Reason: "what is this?"}, "Broken NotReady 0s", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", CreationTimestamp: ago(tt.age)}, Status: tt.status}
			got := Judge(pod, tt.job, now)
			health := []string{"Ready", "Recovering", "Starting", "Broken"}[got.Health]
			if text := fmt.Sprint(health, " ", got.Reason, " ", got.RequeueAfter); text != tt.want {
				t.Errorf("have %q, want %q", text, tt.want)
			}
			if !strings.Contains(got.Why, tt.says) {
				t.Errorf("why is %q, want %q in it", got.Why, tt.says)
			}
		})
	}
}

// Of a Job that was retried only the last Pod counts; Pods without a Job all
// count.
func TestLastTries(t *testing.T) {
	pod := func(name, kind, owner string, second int, phase corev1.PodPhase) *corev1.Pod {
		yes := true
		return &corev1.Pod{Status: corev1.PodStatus{Phase: phase}, ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(t0.Add(time.Duration(second) * time.Second)),
			OwnerReferences: []metav1.OwnerReference{{Kind: kind, UID: types.UID(owner), Controller: &yes}}}}
	}
	var got []string
	for _, p := range LastTries([]*corev1.Pod{
		pod("tried", "Job", "j", 1, corev1.PodFailed), pod("tried-again", "Job", "j", 2, corev1.PodFailed), pod("done", "Job", "j", 3, corev1.PodSucceeded),
		pod("gave", "Job", "k", 1, corev1.PodFailed), pod("up", "Job", "k", 4, corev1.PodFailed),
		pod("one", "Job", "l", 1, corev1.PodFailed), pod("with-another", "Job", "l", 1, corev1.PodFailed),
		pod("broker", "Instance", "i", 1, corev1.PodFailed), pod("its-successor", "Instance", "i", 2, corev1.PodRunning),
	}) {
		got = append(got, p.Name)
	}
	if want := "done up one with-another broker its-successor"; strings.Join(got, " ") != want {
		t.Errorf("have %v, want %s", got, want)
	}
}
