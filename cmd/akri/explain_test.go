package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
)

func answer() explain.Answer {
	pod := explain.Subject{Kind: explain.Pod, Namespace: "lab", Name: "logger"}
	webcams := explain.Subject{Kind: explain.Configuration, Namespace: "lab", Name: "webcams"}
	return explain.Answer{
		Subject: &pod,
		Answer:  "Pod lab/logger: it waits for akri.sh/webcams. The cause is Configuration lab/webcams: no discovery handler udev is installed",
		Facts:   []explain.Evidence{{From: "asks for", Says: "1 of akri.sh/webcams"}},
		Findings: []explain.Finding{
			{Level: explain.Problem, Step: explain.StepHandler, Cause: explain.HandlerNotInstalled, Subject: webcams, Summary: "no discovery handler udev is installed",
				Evidence: []explain.Evidence{{From: "DaemonSets", Says: "none runs the handler udev"}, {From: "status of node n1", Says: "a\x1b[31m" + strings.Repeat(" long", 30)}},
				Remedy: explain.Remedy{Commands: []string{"helm upgrade akri <chart> --namespace akri --reuse-values --set udev.discovery.enabled=true --and-so-on"},
					See: "docs/handlers/udev.md"}},
			{Level: explain.Problem, Step: explain.StepSlots, Cause: explain.DeviceNotFound, Subject: pod, Summary: "it waits for akri.sh/webcams",
				Because: &explain.Ref{Cause: explain.HandlerNotInstalled, Subject: webcams}},
		},
		Unseen: []explain.Unseen{{What: "Nodes", Why: `User "jane" cannot list resource "nodes"`}},
	}
}

func TestAnswerText(t *testing.T) {
	const want = `Pod lab/logger: it waits for akri.sh/webcams. The cause is Configuration lab/webcams: no discovery handler udev is installed

        asks for: 1 of akri.sh/webcams

PROBLEM: HandlerNotInstalled
        Configuration lab/webcams: no discovery handler udev is installed
  seen  DaemonSets: none runs the handler udev
        "status of node n1: a\x1b[31m long long long long long long long long long long long long
        long long long long long long long long long long long long long long long long long long"
  do    helm upgrade akri <chart> --namespace akri --reuse-values --set udev.discovery.enabled=true --and-so-on
  see   docs/handlers/udev.md
  so    Pod lab/logger: it waits for akri.sh/webcams

NOT SEEN, so nothing is concluded from what is missing there
        Nodes: User "jane" cannot list resource "nodes"
`
	if got := answerText(answer()); got != want {
		t.Errorf("have\n%s\nwant\n%s", got, want)
	}
	a := explain.Answer{Answer: "Nothing is wrong: 2 nodes", Facts: []explain.Evidence{{From: "cluster", Says: "2 nodes"}}}
	if got := answerText(a); got != "Nothing is wrong: 2 nodes\n" {
		t.Errorf("%q", got)
	}
}

// A thousand of a kind fit on a page.
func TestAnswerTextOfMany(t *testing.T) {
	var a explain.Answer
	node := explain.Ref{Cause: explain.NodeNotReady, Subject: explain.Subject{Kind: explain.Node, Name: "n1"}}
	a.Findings = append(a.Findings, explain.Finding{Level: explain.Problem, Cause: node.Cause, Subject: node.Subject})
	for i := range 1000 {
		f := explain.Finding{Level: explain.Problem, Cause: explain.DeviceOffline, Subject: explain.Subject{Kind: explain.Device, Name: fmt.Sprint("d", i)}, Summary: "gone"}
		if i%2 == 0 {
			f.Cause, f.Because = explain.DeviceUnknown, &node
		}
		a.Findings = append(a.Findings, f)
	}
	a.More = 7
	text := answerText(a)
	for _, want := range []string{"and 492 more\n", "and 497 more of the cause DeviceOffline", "and 7 findings that were left out"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n > 40 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for l := range strings.Lines(text) {
		if utf8.RuneCountInString(l) > answerColumns+1 {
			t.Errorf("a long line: %s", l)
		}
	}
}

// JSON and YAML have all that there is.
func TestAnswerAsData(t *testing.T) {
	want := answer()
	for format, decode := range map[string]func([]byte, any) error{
		"json": json.Unmarshal, "yaml": func(b []byte, to any) error { return yaml.UnmarshalStrict(b, to) },
	} {
		var out bytes.Buffer
		var got explain.Answer
		if err := errors.Join(printAnswer(&out, format, want), decode(out.Bytes(), &got)); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", got.Findings[0]) != fmt.Sprintf("%+v", want.Findings[0]) || *got.Findings[1].Because != *want.Findings[1].Because || *got.Subject != *want.Subject {
			t.Errorf("%s:\n%s", format, out.String())
		}
	}
}

func TestSubjectFor(t *testing.T) {
	for _, tt := range []struct {
		kind            explain.Kind
		name, namespace string
		want            string
	}{
		{explain.Pod, "logger", "", "Pod logger"},
		{explain.Pod, "logger", "lab", "Pod lab/logger"},
		{explain.Pod, "lab/logger", "", "Pod lab/logger"},
		{explain.Device, "/dev/video0", "", "Device /dev/video0"},
		{explain.Device, "/dev/video0", "lab", "Device lab//dev/video0"},
		{explain.Device, "opc.tcp://a:4840/x", "", "Device opc.tcp://a:4840/x"},
		{explain.Device, "lab/cam-000001", "", "Device lab/cam-000001"},
		{explain.Node, "n1", "lab", "Node n1"},
	} {
		if got := subjectFor(tt.kind, tt.name, tt.namespace).String(); got != tt.want {
			t.Errorf("%s %q in %q: %s, want %s", tt.kind, tt.name, tt.namespace, got, tt.want)
		}
	}
}

// The page shows what is printed.
func TestExplainedPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "$ akri explain pod logger\n")
	want, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("the page has no example")
	}
	yesterday := metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	named := func(namespace, name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, CreationTimestamp: yesterday}
	}
	agent := map[string]string{explain.LabelName: explain.NameAgent, "app.kubernetes.io/instance": "akri"}
	c := explain.Cluster{Now: yesterday.Add(24 * time.Hour)}
	c.DaemonSets = []appsv1.DaemonSet{{ObjectMeta: named("akri", "akri-agent-daemonset", agent)}}
	webcams := v0.Configuration{ObjectMeta: named("default", "webcams", nil)}
	webcams.Spec.DiscoveryHandler = v0.DiscoveryHandlerInfo{Name: "udev", DiscoveryDetails: "udevRules: ['SUBSYSTEM==\"video4linux\"']"}
	webcams.Status.Nodes = []v0.ConfigurationNode{{Name: "edge-1", State: v0.DiscoveryWaiting,
		Message: `no discovery handler "udev" is registered on this node: does its Pod run here?`}}
	c.Configurations = []v0.Configuration{webcams}
	ready := corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}
	c.Nodes = []corev1.Node{{ObjectMeta: named("", "edge-1", nil), Status: ready}}
	runs := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	logger := corev1.Pod{ObjectMeta: named("default", "logger", nil), Status: corev1.PodStatus{Phase: corev1.PodPending,
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable",
			LastTransitionTime: yesterday, Message: "0/1 nodes are available: 1 Insufficient akri.sh/webcams."}}}}
	one := corev1.ResourceList{"akri.sh/webcams": resource.MustParse("1")}
	logger.Spec.Containers = []corev1.Container{{Name: "logger", Resources: corev1.ResourceRequirements{Requests: one, Limits: one}}}
	c.Pods = []corev1.Pod{{ObjectMeta: named("akri", "agent", agent), Spec: corev1.PodSpec{NodeName: "edge-1"}, Status: runs}, logger}
	a, err := explain.Of(c, explain.Subject{Kind: explain.Pod, Name: "logger"})
	if err != nil {
		t.Fatal(err)
	}
	if got := answerText(a); got != want {
		t.Errorf("it prints\n%s\nthe page says\n%s", got, want)
	}
}
