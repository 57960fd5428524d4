package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
)

// What edgecore may need.
const (
	residentBound = 48 // MiB, with 10 Pods
	programBound  = 30 // MB
)

const (
	edgePods   = 10
	plainNode  = 2                // the node that the edge node is compared with
	settleTime = 45 * time.Second // after a start edgecore gives memory back within 20 s
	// A minute after a container's start the kubelet writes once what the runtime says
	// of its resources.
	podSettleTime = 2 * time.Minute
	idleMinutes   = 5               // times -idle
	podsRunning   = 5 * time.Minute // at most until they run
)

// edgeBench is a cluster with an edge node and a plain one beside it.
type edgeBench struct {
	*bench
	edge *devcluster.EdgeNode
	// local is the edge node's own API.
	local client.WithWatch
}

// measureEdgeNode measures an edge node with stock kubelet and kube-proxy, and a
// plain node with the same Pods.
func measureEdgeNode(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Minute+idleMinutes*b.idle)
	defer cancel()
	floor, size, err := floorOfEdgecore(ctx)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return withEdgeNode(ctx, b, func(e *edgeBench) error {
		if err := e.measureSize(size); err != nil {
			return err
		}
		if err := backoff.Sleep(ctx, settleTime); err != nil {
			return err
		}
		if err := e.measureMemory("without-pods", floor); err != nil {
			return err
		}
		if err := e.deploy(ctx); err != nil {
			return err
		}
		if err := e.measureChanges(ctx); err != nil {
			return fmt.Errorf("changes: %w", err)
		}
		if err := backoff.Sleep(ctx, podSettleTime); err != nil {
			return err
		}
		if err := e.measureMemory(fmt.Sprintf("%d-pods", edgePods), floor, residentBound); err != nil {
			return err
		}
		if err := e.measureIdle(ctx); err != nil {
			return fmt.Errorf("idle: %w", err)
		}
		if err := e.measurePower(ctx); err != nil {
			return fmt.Errorf("power: %w", err)
		}
		return nil
	})
}

// withEdgeNode makes a cluster of two nodes and an edge node, calls use and removes
// it.
func withEdgeNode(ctx context.Context, b *bench, use func(*edgeBench) error) (err error) {
	dir, err := os.MkdirTemp("", "akri-bench-")
	if err != nil {
		return err
	}
	defer func() {
		down, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		err = errors.Join(err, devcluster.Down(down, dir, os.Stderr), os.RemoveAll(dir))
	}()
	c, err := devcluster.Up(ctx, devcluster.Options{Dir: dir, Nodes: plainNode, EdgeNodes: 1, Progress: os.Stderr, Install: true,
		AuditUsers: []string{cloudcoreUser, plainUser}})
	if err != nil {
		return err
	}
	broker, err := images.Find("show-broker")
	if err != nil {
		return err
	}
	archives, err := devcluster.ImageArchives(filepath.Join("out", "images"))
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if strings.HasPrefix(filepath.Base(archive), broker[0].Name+"-") {
			if err := c.LoadImages(ctx, archive); err != nil {
				return err
			}
		}
	}
	if err := c.JoinEdgeNodes(ctx, devcluster.JoinOptions{Progress: os.Stderr}); err != nil {
		return err
	}
	connected, err := connect(ctx, b.options, c.Kubeconfig())
	if err != nil {
		return err
	}
	connected.nodes = nil // names of figures do not tell of the plain nodes
	connected.cluster, connected.audit = c, c.AuditLog()
	e := &edgeBench{bench: connected}
	if e.edge, err = c.EdgeNode(1); err != nil {
		return err
	}
	if e.local, err = localAPI(e.edge); err != nil {
		return err
	}
	return use(e)
}

// process is edgecore's.
func (e *edgeBench) process() (process, error) {
	p, err := e.edge.Process(devcluster.Edgecore)
	if err == nil && !p.Alive() {
		err = errors.New("it has ended")
	}
	if err != nil {
		return "", fmt.Errorf("edgecore (log: %s): %w", e.edge.Log(devcluster.Edgecore), err)
	}
	return process(fmt.Sprintf("/proc/%d", p.PID)), nil
}

// measureSize reports the size of edgecore's program.
func (e *edgeBench) measureSize(floor float64) error {
	p, err := e.process()
	if err != nil {
		return err
	}
	size, err := megabytes(filepath.Join(string(p), "exe"))
	if err == nil {
		e.report("edgecore-program", size, "MB", floor, programBound)
	}
	return err
}

func megabytes(file string) (float64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1e6, nil
}

// measureMemory reports edgecore's memory, and that of what it runs.
func (e *edgeBench) measureMemory(with string, floor memory, bound ...float64) error {
	p, err := e.process()
	if err != nil {
		return err
	}
	m, err := p.resident()
	if err != nil {
		return err
	}
	e.report("edgecore-resident-"+with, m.resident, "MiB", floor.resident, bound...)
	e.report("edgecore-anonymous-"+with, m.anonymous, "MiB", floor.anonymous)
	return nil
}

// floorOfEdgecore measures the program edgefloor: its memory, and its size in MB.
func floorOfEdgecore(ctx context.Context) (m memory, size float64, err error) {
	dir, err := os.MkdirTemp("", "akri-bench-")
	if err != nil {
		return m, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "edgefloor")
	if err := build(ctx, "./test/bench/edgefloor", program); err != nil {
		return m, 0, err
	}
	if size, err = megabytes(program); err != nil {
		return m, 0, err
	}
	cmd := exec.Command(program, filepath.Join(dir, "store.db"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return m, 0, err
	}
	if err := cmd.Start(); err != nil {
		return m, 0, err
	}
	if err = backoff.Sleep(ctx, settleTime); err == nil {
		m, err = process(fmt.Sprintf("/proc/%d", cmd.Process.Pid)).resident()
	}
	return m, size, errors.Join(err, in.Close(), cmd.Wait())
}

const (
	followedName = "followed" // the ConfigMap that the Pods use
	changeKey    = "change"
)

// deploy runs as many Pods on the edge node as on the plain one, and waits for
// them.
func (e *edgeBench) deploy(ctx context.Context) error {
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: followedName, Namespace: e.namespace}, Data: map[string]string{changeKey: "0"}},
	}
	no := false
	for _, node := range []string{e.edge.Name, devcluster.NodeName(plainNode)} {
		for i := range edgePods {
			objects = append(objects, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", node, i), Namespace: e.namespace, Labels: map[string]string{"node": node}},
				Spec: corev1.PodSpec{NodeName: node, EnableServiceLinks: &no,
					Containers: []corev1.Container{{Name: "show", Image: e.image, EnvFrom: []corev1.EnvFromSource{{
						ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: followedName}}}}}}},
			})
		}
	}
	// The namespace's service account, and its authority, come a moment later.
	for _, o := range objects {
		err := poll.Until(ctx, "there is "+o.GetName(), 200*time.Millisecond, func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(e.api.Create(ctx, o))
		})
		if err != nil {
			return err
		}
	}
	for _, node := range []string{e.edge.Name, devcluster.NodeName(plainNode)} {
		if _, err := e.running(ctx, e.api, node, nil); err != nil {
			return err
		}
	}
	return nil
}

// running waits until each Pod of a node has a container that runs and is not one
// of those before, as an API says it. It returns their ids.
func (e *edgeBench) running(ctx context.Context, api client.Client, node string, before map[string]bool) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, podsRunning)
	defer cancel()
	ids := map[string]bool{}
	err := poll.Until(ctx, "the Pods of "+node+" run", 50*time.Millisecond, func(ctx context.Context) error {
		var list corev1.PodList
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second) // its connection may be that of a node without power
		defer cancel()
		// As the node's kubelet lists them: that is what the node follows.
		if err := api.List(attempt, &list, client.MatchingFields{"spec.nodeName": node}); err != nil {
			return err
		}
		clear(ids)
		for _, p := range list.Items {
			if p.Namespace != e.namespace {
				continue
			}
			for _, s := range p.Status.ContainerStatuses {
				if s.State.Running != nil && !before[s.ContainerID] {
					ids[s.ContainerID] = true
				}
			}
		}
		if len(ids) < edgePods {
			return fmt.Errorf("%d of %d run", len(ids), edgePods)
		}
		return nil
	})
	return ids, err
}

// power is a node whose power can be cut, and an API that tells of its Pods.
type power struct {
	name    string
	api     client.Client
	off, on func(context.Context) error
}

// measurePower measures how long after its power is back a node's Pods run: those
// of the edge node, whose link is cut, and for the floor those of the plain node,
// which reaches its API server.
func (e *edgeBench) measurePower(ctx context.Context) error {
	c := e.cluster
	plain := power{devcluster.NodeName(plainNode), e.api,
		func(ctx context.Context) error { return c.StopNode(ctx, plainNode) },
		func(ctx context.Context) error { return c.StartNode(ctx, plainNode) }}
	floor, err := e.powerCuts(ctx, plain)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if err := e.edge.Cut(ctx); err != nil {
		return err
	}
	took, err := e.powerCuts(ctx, power{e.edge.Name, e.local, e.edge.PowerOff, e.edge.PowerOn})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("edge-power-on-to-%d-pods-running-cut-off-", edgePods)
	e.report(name+"p50", quantile(took, 0.5).Seconds(), "s", quantile(floor, 0.5).Seconds())
	e.report(name+"max", took[len(took)-1].Seconds(), "s", floor[len(floor)-1].Seconds())
	return nil
}

// powerCuts returns how long a node's Pods took after some power cuts, the shortest
// first.
func (e *edgeBench) powerCuts(ctx context.Context, n power) ([]time.Duration, error) {
	var took []time.Duration
	for range max(1, e.rounds/20) {
		before, err := e.running(ctx, n.api, n.name, nil)
		if err != nil {
			return nil, err
		}
		if err := n.off(ctx); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := n.on(ctx); err != nil {
			return nil, err
		}
		started := time.Since(began)
		if _, err := e.running(ctx, n.api, n.name, before); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		fmt.Fprintf(os.Stderr, "%s: %s, of which %s until containerd runs\n", n.name,
			took[len(took)-1].Round(time.Millisecond), started.Round(time.Millisecond))
	}
	slices.Sort(took)
	return took, nil
}
