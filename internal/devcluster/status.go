package devcluster

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Status is the state of a cluster.
type Status struct {
	Components []ComponentStatus
	// API is "ready", or why the API server does not answer.
	API     string
	Nodes   []NodeStatus // empty when the API server does not answer
	Plugged []string
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
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.askAPI(ctx, &st); err != nil {
		st.API = err.Error()
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
