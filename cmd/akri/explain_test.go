package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

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
	const want = `Pod lab/logger: it waits for akri.sh/webcams. The cause is Configuration lab/webcams: no discovery
handler udev is installed

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
