package devcluster

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/edge/status"
)

// Status is the state of a cluster.
type Status struct {
	Components []ComponentStatus
	// API is "ready", or why the API server does not answer.
	API   string
	Nodes []NodeStatus // empty when the API server does not answer
	// EdgeNodes is what edge nodes say themselves, whatever the cluster knows.
	EdgeNodes []EdgeNodeStatus
	Plugged   []string
}

// ComponentStatus is the state of one process.
type ComponentStatus struct {
	Cell    string
	Name    string
	Running bool
	PID     int   // in the machine's PID namespace
	RSS     int64 // bytes
	Log     string
}

// NodeStatus is the state of a node in the API.
type NodeStatus struct {
	Name, Address string
	State         string // "ready", or why not
	Pods          int    // that have not ended
}

// EdgeNodeStatus is the state of an edge node, as seen there.
type EdgeNodeStatus struct {
	Name, Address string
	// Link, Kubelet and Pods are in words.
	Link, Kubelet, Pods string
}

// Healthy reports whether all components run and all nodes are ready.
func (s Status) Healthy() bool {
	for _, p := range s.Components {
		if !p.Running {
			return false
		}
	}
	for _, n := range s.Nodes {
		if n.State != "ready" {
			return false
		}
	}
	return s.API == "ready"
}

// statusTimeout is how long the cluster is waited for.
const statusTimeout = 30 * time.Second

// Status looks at the processes and asks the API server.
func (c *Cluster) Status(ctx context.Context) Status {
	var st Status
	for _, cell := range c.lab().Cells() {
		for _, component := range c.componentsOf(cell.Name) {
			cs := ComponentStatus{Cell: cell.Name, Name: component, Log: cell.LogFile(component)}
			// A record that cannot be read counts as not running.
			if p, err := cell.Process(component); err == nil && p.Alive() {
				cs.Running, cs.PID, cs.RSS = true, p.PID, p.Memory()
			}
			st.Components = append(st.Components, cs)
		}
	}
	st.Plugged, _ = c.Plugged() // an error counts as none
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	for i := 1; i <= c.state.EdgeNodes; i++ {
		st.EdgeNodes = append(st.EdgeNodes, c.askEdge(ctx, i))
	}
	if err := c.askAPI(ctx, &st); err != nil {
		st.API = err.Error()
	}
	return st
}

// askEdge asks an edge node.
func (c *Cluster) askEdge(ctx context.Context, edge int) EdgeNodeStatus {
	st := EdgeNodeStatus{Name: EdgeNodeName(edge), Address: c.network.Node(c.edgeNumber(edge)).String(), Kubelet: "-", Pods: "-"}
	e, err := c.EdgeNode(edge)
	if err != nil {
		st.Link = err.Error()
		return st
	}
	joined, err := e.Joined()
	switch {
	case err != nil:
		st.Link = "no power"
		return st
	case !joined:
		st.Link = "not joined"
		return st
	}
	r, err := e.Report(ctx)
	if err != nil {
		st.Link = "edgecore does not answer"
		return st
	}
	cut, _ := e.IsCut() // an error counts as not cut
	return edgeStatus(st, cut, r)
}

// edgeStatus says in few words what edgecore reports, and whether Cut has cut the
// link.
func edgeStatus(st EdgeNodeStatus, cut bool, r status.Report) EdgeNodeStatus {
	switch l := r.Link; {
	case cut && l.Connected:
		st.Link = "CUT, and not noticed yet"
	case cut:
		st.Link = "CUT"
	case !l.Connected:
		st.Link = "not connected"
	case l.Syncing > 0:
		st.Link = "connected, not in step yet"
	default:
		st.Link = "connected"
	}
	if st.Kubelet = "runs"; r.Kubelet.PID == 0 {
		st.Kubelet = "DOES NOT RUN"
	}
	if st.Pods = fmt.Sprint(len(r.Pods)); r.PodsUnknown {
		st.Pods = "not known"
	}
	return st
}

func (c *Cluster) askAPI(ctx context.Context, st *Status) error {
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	if err := apiReady(ctx, client); err != nil {
		return err
	}
	st.API = "ready"
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, p := range pods.Items {
		count[p.Spec.NodeName]++
	}
	for _, n := range nodes.Items {
		ns := NodeStatus{Name: n.Name, State: "ready", Pods: count[n.Name]}
		if ok, why := nodeReady(&n); !ok {
			ns.State = why
		}
		for _, a := range n.Status.Addresses {
			if a.Type == "InternalIP" {
				ns.Address = a.Address
			}
		}
		st.Nodes = append(st.Nodes, ns)
	}
	return nil
}
