package edgedemo

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/edge/status"
)

// well is a node on which all is well.
func well(name string) Node {
	return Node{Name: name, Cloud: "Ready", CloudPod: running, Power: true, Link: "connected", Kubelet: "runs", Pod: running, Version: "1"}
}

func TestTell(t *testing.T) {
	off := well("a")
	off.Power, off.Link, off.Kubelet, off.Pod, off.Version = false, unknown, unknown, unknown, unknown
	for _, c := range []struct {
		name   string
		change func(*State)
		from   *Node
		want   []string
	}{
		{"nothing", func(*State) {}, nil, nil},
		{"the link is cut, as the node sees it", func(s *State) { s.Nodes[0].Link = "cut" }, nil, []string{"a notices that it cannot reach the cluster: it goes on with what it has"}},
		{"as the cluster sees it", func(s *State) { s.Nodes[0].Cloud = "NotReady" }, nil, []string{"the cluster calls a NotReady: its Pods stay where they are"}},
		{"no power", func(s *State) { s.Nodes[0] = off }, nil, []string{"a has no power: all that ran there has ended"}},
		{"power again", func(s *State) { s.Nodes[0].Pod = "Running 0/1" }, &off, []string{"a has power again, and starts"}},
		{"its Pod runs again while cut", func(s *State) { s.Nodes[0].Link = "cut" }, &Node{Name: "a", Cloud: "Ready", Power: true, Link: "cut", Pod: "Running 0/1", Version: "1"},
			[]string{"a: its application runs again, without the cluster"}},
		{"connected again", func(*State) {}, &Node{Name: "a", Cloud: "NotReady", Power: true, Link: "cut", Pod: running, Version: "1"},
			[]string{"a is connected again", "the cluster calls a Ready again"}},
		{"a new version", func(s *State) { s.Version, s.Nodes[1].Version = "2", "2" }, nil,
			[]string{"b has version 2 of the application", "in the cluster the application has version 2 now"}},
		{"another node", func(s *State) { s.Nodes = append(s.Nodes, well("c")) }, nil, nil},
	} {
		before := State{Version: "1", Nodes: []Node{well("a"), well("b")}}
		after := State{Version: "1", Nodes: []Node{well("a"), well("b")}}
		if c.from != nil {
			before.Nodes[0] = *c.from
		}
		c.change(&after)
		if got := Tell(before, after); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := Tell(State{}, State{Version: "1", Nodes: []Node{well("a")}}); got != nil {
		t.Errorf("at the beginning: %q", got)
	}
}

func TestDraw(t *testing.T) {
	a, b := well("akri-edge-1"), well("akri-edge-2")
	a.Cut, a.Link, a.Restarts, b.Power, b.Version = true, "cut", 3, false, unknown
	s := State{Version: "2", Nodes: []Node{a, b}}
	told := []string{"one", "two", "three"}
	text := strings.Join(Draw(s, told, 1, 100, 40), "\n")
	for _, want := range []string{" akri-edge-1                [akri-edge-2]", "CUT", "Running 1/1, 3 restarts", "OFF", "version 1", "version 2", "one\ntwo\nthree"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	small := Draw(s, told, 0, 30, 16)
	if last := small[len(small)-1]; len(small) > 15 || last != "three" {
		t.Errorf("%d lines, the last is %q", len(small), last)
	}
	for _, l := range small {
		if len([]rune(l)) > 30 {
			t.Errorf("too long: %q", l)
		}
	}
}

func TestInCloud(t *testing.T) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}}}
	now := metav1.Now()
	pod := func(on string, ready bool, deleted *metav1.Time) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: deleted}, Spec: corev1.PodSpec{NodeName: on, Containers: make([]corev1.Container, 1)},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Ready: ready}}}}
	}
	n, p := inCloud("a", []corev1.Node{node}, []corev1.Pod{pod("a", true, nil), pod("a", false, &now), pod("b", false, nil)})
	if n != "NotReady" || p != running {
		t.Errorf("%s, %s", n, p)
	}
	if _, p := inCloud("a", []corev1.Node{node}, []corev1.Pod{pod("a", true, &now)}); p != "Terminating" {
		t.Errorf("its only Pod is to go: %s", p)
	}
	if n, p := inCloud("c", []corev1.Node{node}, nil); n != unknown || p != unknown {
		t.Errorf("one that the cluster does not know: %s, %s", n, p)
	}
}

func TestSaid(t *testing.T) {
	r := status.Report{Link: status.Link{Connected: true}, Kubelet: status.Program{PID: 7}, Pods: []status.Pod{
		{Namespace: "other", Name: app + "-x", Phase: "Failed"}, {Namespace: namespace, Name: app + "-y", Phase: "Running", Ready: "1/1", Restarts: 2},
	}}
	if n := said(Node{Pod: unknown}, r); n.Link != "connected" || n.Kubelet != "runs" || n.Pod != running || n.Restarts != 2 {
		t.Errorf("%+v", n)
	}
	if n := said(Node{Pod: unknown}, status.Report{}); n.Link != "cut" || n.Kubelet != "starting" || n.Pod != unknown {
		t.Errorf("%+v", n)
	}
}
