package edgedemo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/edge/status"
)

// State is what both ends say at a time.
type State struct {
	// Version is the application's in the cluster.
	Version string
	Nodes   []Node
}

// Node is an edge node, seen from both ends.
type Node struct {
	Name string
	Cut  bool // its link, by us
	// Cloud is what the cluster says of it, and CloudPod of its Pod.
	Cloud, CloudPod string
	// Power is whether the machine runs. The rest is what it says itself, "-" if
	// it says nothing.
	Power              bool
	Link, Kubelet, Pod string
	Version            string // of the application, that the node has
	Restarts           int    // of the application's container
}

// unknown is what nobody says.
const unknown = "-"

// askTimeout bounds a question to an edge node's API.
const askTimeout = 10 * time.Second

// look asks both ends.
func (d *demo) look(ctx context.Context) (State, error) {
	var s State
	client, err := d.cluster.Clientset()
	if err != nil {
		return s, err
	}
	c, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, app, metav1.GetOptions{})
	if err != nil {
		return s, err
	}
	s.Version = c.Data[versionKey]
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, err
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return s, err
	}
	s.Nodes = make([]Node, d.cluster.EdgeNodeCount())
	var all sync.WaitGroup
	for i := range s.Nodes {
		all.Go(func() { s.Nodes[i] = d.ask(ctx, i+1) })
	}
	all.Wait()
	for i := range s.Nodes {
		s.Nodes[i].Cloud, s.Nodes[i].CloudPod = inCloud(s.Nodes[i].Name, nodes.Items, pods.Items)
	}
	return s, nil
}

// inCloud is what the cluster says of a node and of its Pod.
func inCloud(name string, nodes []corev1.Node, pods []corev1.Pod) (node, pod string) {
	node, pod = unknown, unknown
	for _, n := range nodes {
		for _, c := range n.Status.Conditions {
			if n.Name != name || c.Type != corev1.NodeReady {
				continue
			}
			if node = "NotReady"; c.Status == corev1.ConditionTrue {
				node = "Ready"
			}
		}
	}
	for _, p := range pods {
		if p.Spec.NodeName != name {
			continue
		}
		if p.DeletionTimestamp != nil { // its node has not heard of it yet, or it ends
			if pod == unknown {
				pod = "Terminating"
			}
			continue
		}
		ready := 0
		for _, c := range p.Status.ContainerStatuses {
			if c.Ready {
				ready++
			}
		}
		pod = fmt.Sprintf("%s %d/%d", p.Status.Phase, ready, len(p.Spec.Containers))
	}
	return node, pod
}

// ask asks an edge node.
func (d *demo) ask(ctx context.Context, number int) Node {
	n := Node{Name: devcluster.EdgeNodeName(number), Link: unknown, Kubelet: unknown, Pod: unknown, Version: unknown}
	e, err := d.cluster.EdgeNode(number)
	if err != nil {
		return n
	}
	n.Cut, _ = e.IsCut() // then it is not cut
	joined, err := e.Joined()
	if n.Power = err == nil; !n.Power || !joined {
		return n
	}
	r, err := e.Report(ctx)
	if err != nil {
		return n
	}
	n = said(n, r)
	if version, err := versionOn(ctx, e); err == nil && version != "" {
		n.Version = version
	}
	return n
}

// versionOn asks the edge node's own API for the application's version.
func versionOn(ctx context.Context, e *devcluster.EdgeNode) (string, error) {
	config, err := e.RESTConfig()
	if err != nil {
		return "", err
	}
	config.Timeout = askTimeout
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", err
	}
	defer connections.CloseIdleConnections()
	client, err := kubernetes.NewForConfigAndClient(config, connections)
	if err != nil {
		return "", err
	}
	c, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, app, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return c.Data[versionKey], nil
}

// said adds what edgecore reports.
func said(n Node, r status.Report) Node {
	if n.Link = "cut"; r.Link.Connected {
		n.Link = "connected"
	}
	if n.Kubelet = "starting"; r.Kubelet.PID > 0 {
		n.Kubelet = "runs"
	}
	for _, p := range r.Pods {
		if p.Namespace == namespace && strings.HasPrefix(p.Name, app+"-") {
			n.Pod, n.Restarts = p.Phase+" "+p.Ready, p.Restarts
		}
	}
	return n
}
