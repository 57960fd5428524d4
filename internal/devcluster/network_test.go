package devcluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cell"
)

func TestRangesDoNotOverlap(t *testing.T) {
	for i := range cell.MaxLabs {
		n := network(i)
		parts := []netip.Prefix{n.Cells(), n.Services(), n.Pods()}
		for k, p := range parts {
			if !n.All().Contains(p.Addr()) {
				t.Errorf("%s is outside %s", p, n.All())
			}
			for _, q := range parts[:k] {
				if p.Overlaps(q) {
					t.Errorf("%s overlaps %s", p, q)
				}
			}
		}
		for node := 1; node <= MaxNodes; node++ {
			if !n.Pods().Contains(n.NodePods(node).Addr()) {
				t.Errorf("the Pods of node %d have %s", node, n.NodePods(node))
			}
		}
		for _, a := range []netip.Addr{n.APIService(), n.DNS()} {
			if !n.Services().Contains(a) {
				t.Errorf("%s is outside %s", a, n.Services())
			}
		}
	}
}

func TestRoutesReachEveryNodeFromEverywhere(t *testing.T) {
	var lines []string
	for _, args := range network(3).routePlan(2) {
		lines = append(lines, strings.Join(args, " "))
	}
	for _, want := range []string{
		"route replace 10.211.16.0/20 via 10.211.0.11",
		"-n akri3-control-plane route replace unreachable 10.211.16.0/20",
		"-n akri3-node1 route replace 10.211.16.0/20 via 10.211.0.2",
		"-n akri3-node2 route replace 10.211.16.0/20 via 10.211.0.2",
		"route replace 10.211.65.0/24 via 10.211.0.11",
		"route replace 10.211.66.0/24 via 10.211.0.12",
		"-n akri3-control-plane route replace 10.211.65.0/24 via 10.211.0.11",
		"-n akri3-control-plane route replace 10.211.66.0/24 via 10.211.0.12",
		"-n akri3-node2 route replace 10.211.65.0/24 via 10.211.0.11",
		"-n akri3-node1 route replace 10.211.66.0/24 via 10.211.0.12",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: ip %s", want)
		}
	}
	if len(lines) != 10 {
		t.Errorf("%d routes:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// The street has addresses of the nodes' network that no node has, and a way to the
// Pods of all.
func TestStreet(t *testing.T) {
	n := network(3)
	for i := range MaxStreet {
		if a := n.Street(i); !n.Cells().Contains(a) || !n.Node(MaxNodes).Less(a) {
			t.Errorf("address %d of the street is %s", i, a)
		}
	}
	if a := n.Street(MaxStreet); a != n.Addr(0, 254) {
		t.Errorf("the first address that it has not is %s, want .254", a)
	}
	var lines []string
	for _, args := range n.streetRoutes("akri3-street", 2) {
		lines = append(lines, strings.Join(args, " "))
	}
	want := []string{
		"-n akri3-street route replace 10.211.65.0/24 via 10.211.0.11",
		"-n akri3-street route replace 10.211.66.0/24 via 10.211.0.12",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("routes %q", lines)
	}
}
