package devcluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/edge/status"
)

func TestFenceRules(t *testing.T) {
	n := network(3)
	rules := strings.Split(n.fenceRules(n.Node(1), 2, 2), "\n")
	for _, edge := range []string{"10.211.0.13", "10.211.0.14"} {
		allowed := slices.Index(rules, "-A FORWARD -s "+edge+" -d 10.211.0.11 -p tcp --dport 30000 -j ACCEPT")
		dropped := slices.Index(rules, "-A FORWARD -s "+edge+" -j DROP")
		if allowed < 0 || dropped < allowed {
			t.Errorf("%s: rule %d lets it reach cloudcore, rule %d drops the rest", edge, allowed, dropped)
		}
		for _, want := range []string{"-A FORWARD -d " + edge + " -j DROP", "-A INPUT -s " + edge + " -j DROP"} {
			if !slices.Contains(rules, want) {
				t.Errorf("missing: %s", want)
			}
		}
	}
	if want := "-A FORWARD -s 10.211.67.0/24 -j DROP"; !slices.Contains(rules, want) {
		t.Errorf("missing, for the Pods of the first edge node: %s", want)
	}
	for _, r := range rules {
		if strings.Contains(r, "10.211.0.12") {
			t.Errorf("a rule for a node that is no edge node: %s", r)
		}
	}
}

func TestEdgeNode(t *testing.T) {
	c := testCluster()
	c.state.EdgeNodes = 2
	e, err := c.EdgeNodeByName("akri-edge-2")
	if err != nil || e.Address != netip.MustParseAddr("10.210.0.14") || e.Cgroup() != "/akri-dev-2/edge2" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := c.EdgeNodeByName("akri-dev-1"); err == nil || !strings.Contains(err.Error(), "it has akri-edge-1, akri-edge-2") {
		t.Errorf("another node: %v", err)
	}
	files, err := renderNode(c.edgeConfig(1))
	if err != nil || files["edge1-containerd.toml"] == nil {
		t.Errorf("configuration: %v", err)
	}
	if got := c.lab().Members; !slices.Equal(got, []string{"node1", "node2", "edge1", "edge2"}) {
		t.Errorf("members: %q", got)
	}
	c.state.EdgeNodes = 0
	if _, err := c.EdgeNode(1); err == nil || !strings.Contains(err.Error(), "--edge-nodes 1") {
		t.Errorf("none: %v", err)
	}
}

func TestEdgeStatus(t *testing.T) {
	for _, c := range []struct {
		cut    bool
		report status.Report
		want   EdgeNodeStatus
	}{
		{false, status.Report{}, EdgeNodeStatus{Link: "not connected", Kubelet: "DOES NOT RUN", Pods: "0"}},
		{true, status.Report{}, EdgeNodeStatus{Link: "CUT", Kubelet: "DOES NOT RUN", Pods: "0"}},
		{true, status.Report{Link: status.Link{Connected: true}}, EdgeNodeStatus{Link: "CUT, and not noticed yet", Kubelet: "DOES NOT RUN", Pods: "0"}},
		{false, status.Report{Link: status.Link{Connected: true, Syncing: 2}, Kubelet: status.Program{PID: 7}, PodsUnknown: true},
			EdgeNodeStatus{Link: "connected, not in step yet", Kubelet: "runs", Pods: "not known"}},
		{false, status.Report{Link: status.Link{Connected: true}, Kubelet: status.Program{PID: 7}, Pods: make([]status.Pod, 3)},
			EdgeNodeStatus{Link: "connected", Kubelet: "runs", Pods: "3"}},
	} {
		if got := edgeStatus(EdgeNodeStatus{}, c.cut, c.report); got != c.want {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
}

func TestQdisc(t *testing.T) {
	for _, c := range []struct {
		link Link
		want string
	}{
		{Link{}, "del dev eth0 root"},
		{Link{Delay: 300 * time.Millisecond}, "replace dev eth0 root netem delay 300000us"},
		{Link{Rate: "2mbit"}, "replace dev eth0 root tbf rate 2mbit burst 16kb latency 400ms"},
		{Link{Rate: "2mbit", Delay: time.Second, Loss: 2.5}, "replace dev eth0 root netem delay 1000000us loss 2.5% rate 2mbit"},
	} {
		if got := strings.Join(c.link.qdisc("eth0"), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.link, got, c.want)
		}
	}
}
