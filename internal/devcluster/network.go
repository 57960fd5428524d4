package devcluster

import (
	"net/netip"

	"github.com/akri-go/akri/internal/cell"
)

// MaxNodes is the largest number of nodes: node n has the n-th /24 of the
// cluster's Pod range.
const MaxNodes = cell.MaxMembers

// Network is the addresses of a cluster: those of its cells, and
//
//	10.x.16.0/20  Services; API server .16.1, DNS .16.10
//	10.x.64.0/18  Pods; node n has 10.x.(64+n).0/24
type Network struct{ cell.Network }

func network(index int) Network { return Network{cell.Network{Index: index}} }

// ControlPlane is the address of the API server.
func (n Network) ControlPlane() netip.Addr { return n.Hub() }

// Node is the address of a node, counted from 1.
func (n Network) Node(node int) netip.Addr { return n.Member(node) }

// Services is the range of cluster addresses of Services.
func (n Network) Services() netip.Prefix { return n.Prefix(16, 20) }

// APIService is the in-cluster address of the API server.
func (n Network) APIService() netip.Addr { return n.Addr(16, 1) }

// DNS is the in-cluster address of the DNS server.
func (n Network) DNS() netip.Addr { return n.Addr(16, 10) }

// Pods is the range of all Pods.
func (n Network) Pods() netip.Prefix { return n.Prefix(64, 18) }

// NodePods is the range of the Pods of a node, counted from 1.
func (n Network) NodePods(node int) netip.Prefix { return n.Prefix(64+node, 24) }

// routePlan lists the ip commands that make Pods and Services reachable from
// the machine, the control plane and every other node. They can be repeated.
func (n Network) routePlan(nodes int) [][]string {
	control := n.NetNS(controlCell)
	plan := [][]string{
		{"route", "replace", n.Services().String(), "via", n.Node(1).String()},
		// For Services without rules; see nodeRoutePlan.
		{"-n", control, "route", "replace", "unreachable", n.Services().String()},
	}
	for i := 1; i <= nodes; i++ {
		to := n.podRoute(i)
		plan = append(plan, to, append([]string{"-n", control}, to...))
		plan = append(plan, n.nodeRoutePlan(i, nodes)...)
	}
	return plan
}

// nodeRoutePlan lists the ip commands that make Services and the Pods of all
// other nodes reachable from one node.
func (n Network) nodeRoutePlan(node, nodes int) [][]string {
	netNS := n.NetNS(nodeCell(node))
	plan := [][]string{
		// Without a rule of kube-proxy, connections would be dropped and
		// retried for minutes without looking at the rules again. So they go
		// where they are refused at once.
		{"-n", netNS, "route", "replace", n.Services().String(), "via", n.ControlPlane().String()},
	}
	for i := 1; i <= nodes; i++ {
		if i != node {
			plan = append(plan, append([]string{"-n", netNS}, n.podRoute(i)...))
		}
	}
	return plan
}

// podRoute is the ip command, without the namespace, of the route to a node's
// Pods.
func (n Network) podRoute(node int) []string {
	return []string{"route", "replace", n.NodePods(node).String(), "via", n.Node(node).String()}
}
