package devcluster

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/cell"
)

// The ports of cloudcore at the first node's address: node ports of the chart's
// Service. They are all that an edge node can reach.
const (
	CloudHubPort = 30000 // links
	JoinPort     = 30002 // certificates
)

// EdgeNodeName is the name of an edge node, counted from 1, in the cluster's API.
func EdgeNodeName(edge int) string { return fmt.Sprintf("akri-edge-%d", edge) }

const edgeCellPrefix = "edge"

func edgeCell(edge int) string { return edgeCellPrefix + strconv.Itoa(edge) }

// EdgeNodeCount is the number of machines for edge nodes.
func (c *Cluster) EdgeNodeCount() int { return c.state.EdgeNodes }

// CloudAddress is where edge nodes reach cloudcore: the address of the first
// node.
func (c *Cluster) CloudAddress() netip.Addr { return c.network.Node(1) }

// edgeNumber is the number of an edge node among the members of the lab.
func (c *Cluster) edgeNumber(edge int) int { return c.state.Nodes + edge }

func (c *Cluster) edgeConfig(edge int) nodeConfig {
	return c.memberConfig(c.edgeNumber(edge), EdgeNodeName(edge), edgeCell(edge))
}

// fence closes the network around the edge nodes: they reach cloudcore, and
// nothing else reaches anything. It is complete or not there, and can be
// repeated.
func (c *Cluster) fence(ctx context.Context) error {
	if c.state.EdgeNodes == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", c.network.NetNS(controlCell), "iptables-restore")
	cmd.Stdin = strings.NewReader(c.network.fenceRules(c.CloudAddress(), c.state.Nodes, c.state.EdgeNodes))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("close the network around the edge nodes: %w: %s", cell.Interrupted(ctx, err), bytes.TrimSpace(out))
	}
	return nil
}

// fenceRules are the rules of the hub, whose bridge joins all cells, in the form
// of iptables-restore. The hub has no others.
func (n Network) fenceRules(cloud netip.Addr, nodes, edges int) string {
	var b strings.Builder
	b.WriteString("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n")
	for i := nodes + 1; i <= nodes+edges; i++ {
		edge, pods := n.Node(i), n.NodePods(i)
		for _, port := range []int{CloudHubPort, JoinPort} {
			fmt.Fprintf(&b, "-A FORWARD -s %s -d %s -p tcp --dport %d -j ACCEPT\n", edge, cloud, port)
			fmt.Fprintf(&b, "-A FORWARD -s %s -d %s -p tcp --sport %d -j ACCEPT\n", cloud, edge, port)
		}
		for _, own := range []string{edge.String(), pods.String()} {
			fmt.Fprintf(&b, "-A FORWARD -s %s -j DROP\n-A FORWARD -d %s -j DROP\n-A INPUT -s %s -j DROP\n", own, own, own)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// EdgeNode is a machine for an edge node: a cell with containerd, whose only way
// out is cloudcore's ports. JoinEdgeNodes makes it an edge node; what else runs
// there is started by Run.
type EdgeNode struct {
	Name    string // of the node
	Address netip.Addr
	cluster *Cluster
	cell    cell.Cell
}

// EdgeNode returns an edge node, counted from 1.
func (c *Cluster) EdgeNode(edge int) (*EdgeNode, error) {
	if edge < 1 || edge > c.state.EdgeNodes {
		return nil, fmt.Errorf("the cluster has no edge node %d; `akri dev up --edge-nodes %d` makes it", edge, max(edge, 1))
	}
	return &EdgeNode{
		Name: EdgeNodeName(edge), Address: c.network.Node(c.edgeNumber(edge)),
		cluster: c, cell: c.cell(edgeCell(edge)),
	}, nil
}

// EdgeNodeByName returns the edge node of a name.
func (c *Cluster) EdgeNodeByName(name string) (*EdgeNode, error) {
	var names []string
	for i := 1; i <= c.state.EdgeNodes; i++ {
		if EdgeNodeName(i) == name {
			return c.EdgeNode(i)
		}
		names = append(names, EdgeNodeName(i))
	}
	if names == nil {
		return nil, fmt.Errorf("the cluster has no edge nodes; `akri dev up --edge-nodes 1` makes one")
	}
	return nil, fmt.Errorf("the cluster has no edge node %q; it has %s", name, strings.Join(names, ", "))
}

// Command prepares a command that runs on the edge node, in its namespaces, as
// root.
func (e *EdgeNode) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	cmd, err := e.cell.Command(ctx, argv...)
	return cmd, withRemedy(err)
}

// Path returns the machine's path to a file of the edge node.
func (e *EdgeNode) Path(path string) (string, error) {
	path, err := e.cell.Path(path)
	return path, withRemedy(err)
}

// Binary returns the path that a program of the cluster has on the edge node.
func (e *EdgeNode) Binary(name string) string {
	return e.cell.InsideBinary(e.cluster.state.Bins[name])
}

// Config returns the path on the edge node of one of its files of configuration:
// "kubelet.yaml", "proxy.yaml", "containerd.toml".
func (e *EdgeNode) Config(name string) string {
	return cell.InsidePath("config", e.cell.Name+"-"+name)
}

// NetNS is the name, as `ip netns` shows it, of the edge node's network namespace.
func (e *EdgeNode) NetNS() string { return e.cluster.network.NetNS(e.cell.Name) }

// Cgroup is the cgroup that what runs on the edge node belongs into.
func (e *EdgeNode) Cgroup() string { return e.cluster.lab().Cgroup(e.cell.Name) }

// Run starts a program that is below the cluster's Dir, unless it runs. It goes
// on when this process ends.
func (e *EdgeNode) Run(ctx context.Context, name, binary string, args ...string) error {
	_, err := e.cell.Start(ctx, name, binary, args...)
	return withRemedy(err)
}

// Process returns a program that Run has started.
func (e *EdgeNode) Process(name string) (cell.Process, error) { return e.cell.Process(name) }

// End sends a program that Run has started a signal, and waits until it has
// ended.
func (e *EdgeNode) End(ctx context.Context, name string, sig unix.Signal) error {
	return e.cell.Stop(ctx, name, sig)
}

// Log is the file with the output of a program that Run has started.
func (e *EdgeNode) Log(name string) string { return e.cell.LogFile(name) }

// PowerOff cuts the edge node's power: everything on it ends at once. Its disk
// stays.
func (e *EdgeNode) PowerOff(ctx context.Context) error {
	return e.cluster.lab().Stop(ctx, e.cell.Name)
}

// PowerOn starts the machine again, its containerd, and edgecore if it has joined.
// What Run has started it does not start.
func (e *EdgeNode) PowerOn(ctx context.Context) error {
	c := e.cluster
	if err := c.lab().Start(ctx, e.cell.Name); err != nil {
		return err
	}
	images, err := c.ownImages(ctx)
	if err != nil {
		return err
	}
	if err := c.startRuntime(ctx, newProgress(nil), e.cell.Name, e.Name, images); err != nil {
		return err
	}
	if joined, err := e.Joined(); err != nil || !joined {
		return err
	}
	return e.StartEdgecore(ctx)
}

// Cut cuts the edge node's link: nothing arrives, and neither end is told.
func (e *EdgeNode) Cut(ctx context.Context) error { return e.cluster.lab().Cut(ctx, e.cell.Name) }

// IsCut tells whether Cut has cut the edge node's link.
func (e *EdgeNode) IsCut() (bool, error) { return e.cluster.lab().IsCut(e.cell.Name) }

// Rejoin undoes Cut.
func (e *EdgeNode) Rejoin(ctx context.Context) error { return e.cluster.lab().Mend(ctx, e.cell.Name) }

// Link is how bad a link is, in each direction. The zero Link is a good one.
type Link struct {
	Rate  string        // as tc takes it, 2mbit; empty: as fast as it can
	Delay time.Duration // in each direction
	Loss  float64       // of packets, in percent
}

// Degrade makes the edge node's link as bad as l says, in both directions.
func (e *EdgeNode) Degrade(ctx context.Context, l Link) error {
	hub := e.cluster.network.NetNS(controlCell)
	for _, end := range [][2]string{{hub, e.cell.Name}, {e.NetNS(), cell.MemberLink}} {
		args := append([]string{"netns", "exec", end[0], "tc", "qdisc"}, l.qdisc(end[1])...)
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			if l == (Link{}) && bytes.Contains(out, []byte("No such file or directory")) {
				continue // it is a good one
			}
			if bytes.Contains(out, []byte("qdisc kind is unknown")) {
				return fmt.Errorf("this kernel cannot make links late or lossy: it has no netem; `modprobe sch_netem` loads it where it is a module")
			}
			return fmt.Errorf("change the link of %s: %w: %s", e.Name, cell.Interrupted(ctx, err), bytes.TrimSpace(out))
		}
	}
	return nil
}

// qdisc returns the arguments of tc qdisc for one end of a link.
func (l Link) qdisc(dev string) []string {
	if l == (Link{}) {
		return []string{"del", "dev", dev, "root"}
	}
	if l.Delay == 0 && l.Loss == 0 { // more kernels have it than netem
		return []string{"replace", "dev", dev, "root", "tbf", "rate", l.Rate, "burst", "16kb", "latency", "400ms"}
	}
	args := []string{"replace", "dev", dev, "root", "netem"}
	if l.Delay > 0 {
		args = append(args, "delay", strconv.FormatInt(l.Delay.Microseconds(), 10)+"us")
	}
	if l.Loss > 0 {
		args = append(args, "loss", strconv.FormatFloat(l.Loss, 'f', -1, 64)+"%")
	}
	if l.Rate != "" {
		args = append(args, "rate", l.Rate)
	}
	return args
}
