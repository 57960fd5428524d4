package devcluster

import (
	"fmt"
	"net"
	"net/netip"
)

// maxClusters is how many clusters one machine can run at once: each has a /16
// out of 10.208.0.0/12, which few networks use.
const maxClusters = 16

// MaxNodes is how many nodes a cluster can have: node n has the n-th /24 of the
// cluster's Pod range.
const MaxNodes = 32

// Network says which addresses a cluster uses. They follow from its index.
//
//	10.x.0.0/24   machine .1, control plane .2, node n .10+n
//	10.x.16.0/20  Services; API server .16.1, DNS .16.10
//	10.x.64.0/18  Pods; node n has 10.x.(64+n).0/24
type Network struct {
	Index int // 0 to maxClusters-1
}

func (n Network) addr(third, fourth int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(208 + n.Index), byte(third), byte(fourth)})
}

func (n Network) prefix(third, bits int) netip.Prefix {
	return netip.PrefixFrom(n.addr(third, 0), bits)
}

// All is the range that holds every address of the cluster.
func (n Network) All() netip.Prefix { return n.prefix(0, 16) }

// Host is the machine's address in the cluster's network.
func (n Network) Host() netip.Addr { return n.addr(0, 1) }

// ControlPlane is the address of the API server.
func (n Network) ControlPlane() netip.Addr { return n.addr(0, 2) }

// Node is the address of a node, counted from 1.
func (n Network) Node(node int) netip.Addr { return n.addr(0, 10+node) }

// Nodes is the range of the machine, the control plane and the nodes.
func (n Network) Nodes() netip.Prefix { return n.prefix(0, 24) }

// Services is the range of cluster addresses of Services.
func (n Network) Services() netip.Prefix { return n.prefix(16, 20) }

// APIService is the in-cluster address of the API server.
func (n Network) APIService() netip.Addr { return n.addr(16, 1) }

// DNS is the in-cluster address of the DNS server.
func (n Network) DNS() netip.Addr { return n.addr(16, 10) }

// Pods is the range of all Pods.
func (n Network) Pods() netip.Prefix { return n.prefix(64, 18) }

// NodePods is the range of the Pods of a node, counted from 1.
func (n Network) NodePods(node int) netip.Prefix { return n.prefix(64+node, 24) }

// Interface is the name of the machine's interface to the cluster.
func (n Network) Interface() string { return fmt.Sprintf("akri%d", n.Index) }

// NetNS is the name, as `ip netns` shows it, of a cell's network namespace.
func (n Network) NetNS(cell string) string { return fmt.Sprintf("akri%d-%s", n.Index, cell) }

// Cgroup is the path of the cluster's cgroup below the root of a hierarchy.
func (n Network) Cgroup() string { return fmt.Sprintf("/akri-dev-%d", n.Index) }

// nodeAddr is an address with the length of the nodes' network, as `ip addr`
// takes it.
func (n Network) nodeAddr(a netip.Addr) string { return netip.PrefixFrom(a, 24).String() }

// hardwareAddr is the link-layer address, locally administered, of the
// interface with address a. An interface that is made anew has it again, as a
// machine's after a power cut: peers hold on to what they know for a minute.
func hardwareAddr(a netip.Addr) string {
	ip := a.As4()
	return net.HardwareAddr{0x02, 0xac, ip[0], ip[1], ip[2], ip[3]}.String()
}

const (
	// bridge joins the cells; it is in the control plane's.
	bridge = "akri"
	// hostLink and nodeLink are what a cell calls its link: the control plane's
	// to the machine, a node's to the bridge.
	hostLink, nodeLink = "host", "eth0"
)

// linkPlan lists the ip commands that join the cells to the machine, as
// argument lists. They are for cells without any link yet.
func (n Network) linkPlan(nodes int) [][]string {
	control := n.NetNS(controlCell)
	plan := [][]string{
		{"-n", control, "link", "add", bridge, "address", hardwareAddr(n.ControlPlane()), "type", "bridge"},
		{"-n", control, "addr", "add", n.nodeAddr(n.ControlPlane()), "dev", bridge},
		{"-n", control, "link", "set", bridge, "up"},
		{"link", "add", n.Interface(), "address", hardwareAddr(n.Host()), "type", "veth", "peer", "name", hostLink, "netns", control},
		{"-n", control, "link", "set", hostLink, "master", bridge, "up"},
		{"addr", "add", n.nodeAddr(n.Host()), "dev", n.Interface()},
		{"link", "set", n.Interface(), "up"},
		// For a Service without rules, see nodeLinkPlan.
		{"-n", control, "route", "replace", "unreachable", n.Services().String()},
	}
	for i := 1; i <= nodes; i++ {
		plan = append(plan, n.nodeLinkPlan(i)...)
	}
	return plan
}

// nodeLinkPlan lists the ip commands that join one node to the bridge, by a
// link that the bridge's side calls as the node's cell.
func (n Network) nodeLinkPlan(node int) [][]string {
	control, cell, port := n.NetNS(controlCell), n.NetNS(nodeCell(node)), nodeCell(node)
	return [][]string{
		{"-n", control, "link", "add", port, "type", "veth", "peer", "name", nodeLink, "address", hardwareAddr(n.Node(node)), "netns", cell},
		{"-n", control, "link", "set", port, "master", bridge, "up"},
		{"-n", cell, "addr", "add", n.nodeAddr(n.Node(node)), "dev", nodeLink},
		{"-n", cell, "link", "set", nodeLink, "up"},
		{"-n", cell, "route", "add", "default", "via", n.Host().String()},
		// Connections that kube-proxy has no rule for yet would vanish, and be
		// tried again for minutes without a new look at the rules; so they go
		// where they are refused at once.
		{"-n", cell, "route", "add", n.Services().String(), "via", n.ControlPlane().String()},
	}
}

// routePlan lists the ip commands that make Pods and Services reachable from
// the machine, the control plane and every other node. They can be repeated.
func (n Network) routePlan(nodes int) [][]string {
	control := n.NetNS(controlCell)
	plan := [][]string{{"route", "replace", n.Services().String(), "via", n.Node(1).String()}}
	for i := 1; i <= nodes; i++ {
		to := n.podRoute(i)
		plan = append(plan, to, append([]string{"-n", control}, to...))
		plan = append(plan, n.nodeRoutePlan(i, nodes)...)
	}
	return plan
}

// nodeRoutePlan lists the ip commands that make the Pods of all other nodes
// reachable from one node.
func (n Network) nodeRoutePlan(node, nodes int) [][]string {
	var plan [][]string
	for i := 1; i <= nodes; i++ {
		if i != node {
			plan = append(plan, append([]string{"-n", n.NetNS(nodeCell(node))}, n.podRoute(i)...))
		}
	}
	return plan
}

// podRoute is the ip command, without the namespace, of the route to a node's
// Pods.
func (n Network) podRoute(node int) []string {
	return []string{"route", "replace", n.NodePods(node).String(), "via", n.Node(node).String()}
}
