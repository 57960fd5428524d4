package devcluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/cell"
)

// StopAPIServer kills the API server, as in a crash. The rest of the cluster
// keeps running.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	return c.cell(controlCell).Stop(ctx, APIServer, unix.SIGKILL)
}

// StartAPIServer starts the API server if it does not run, and waits until it
// is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.startComponents(ctx, controlCell, APIServer); err != nil {
		return err
	}
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	return c.waitComponent(ctx, controlCell, APIServer, func(ctx context.Context) error {
		return apiReady(ctx, client)
	})
}

// apiReady returns why the API server is not ready.
func apiReady(ctx context.Context, client kubernetes.Interface) error {
	err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	if err == nil {
		return nil
	}
	// The names of the failed checks are enough.
	if failed := failedChecks(err.Error()); failed != "" {
		return fmt.Errorf("not ready: %s", failed)
	}
	return err
}

// failedChecks extracts the names of failed checks from the answer of /readyz,
// whose lines may be quoted.
func failedChecks(answer string) string {
	var names []string
	for line := range strings.SplitSeq(strings.ReplaceAll(answer, `\n`, "\n"), "\n") {
		if _, rest, ok := strings.Cut(line, "[-]"); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// RestartKubelet restarts a node's kubelet (counted from 1). It does not wait
// until the node is ready: see WaitNodesReady.
func (c *Cluster) RestartKubelet(ctx context.Context, node int) error {
	return c.Restart(ctx, nodeCell(node), Kubelet)
}

// Restart stops a component with SIGTERM and starts it again. The cell is
// "control-plane", or "node<n>" counted from 1.
func (c *Cluster) Restart(ctx context.Context, cellName, component string) error {
	if err := c.known(cellName, component); err != nil {
		return err
	}
	if err := c.cell(cellName).Stop(ctx, component, unix.SIGTERM); err != nil {
		return err
	}
	return c.startComponents(ctx, cellName, component)
}

// KillProcess sends sig to a component. If sig is SIGKILL, it waits until the
// process has ended. StartProcess starts it again.
func (c *Cluster) KillProcess(ctx context.Context, cellName, component string, sig unix.Signal) error {
	if err := c.known(cellName, component); err != nil {
		return err
	}
	p, err := c.cell(cellName).Process(component)
	if err != nil {
		return err
	}
	return p.Signal(ctx, sig, sig == unix.SIGKILL)
}

// StartProcess starts a component if it does not run.
func (c *Cluster) StartProcess(ctx context.Context, cellName, component string) error {
	if err := c.known(cellName, component); err != nil {
		return err
	}
	return c.startComponents(ctx, cellName, component)
}

// StopNode cuts a node's power (counted from 1): all its processes end at once,
// including those of its containers, and nothing answers at its addresses. Its
// disk stays. Up or StartNode brings it back.
func (c *Cluster) StopNode(ctx context.Context, node int) error {
	if err := c.hasNode(node); err != nil {
		return err
	}
	if err := c.lab().Stop(ctx, nodeCell(node)); err != nil {
		return fmt.Errorf("stop %s: %w", NodeName(node), err)
	}
	return nil
}

// StartNode starts a node that StopNode has stopped. It does not wait until the
// node is ready: see WaitNodesReady.
func (c *Cluster) StartNode(ctx context.Context, node int) error {
	if err := c.hasNode(node); err != nil {
		return err
	}
	if err := c.lab().Start(ctx, nodeCell(node)); err != nil {
		return err
	}
	if err := cell.RunIP(ctx, c.network.nodeRoutePlan(node, c.state.Nodes)...); err != nil {
		return err
	}
	images, err := c.ownImages(ctx)
	if err != nil {
		return err
	}
	if err := c.startRuntime(ctx, newProgress(nil), nodeCell(node), NodeName(node), images); err != nil {
		return err
	}
	return c.startComponents(ctx, nodeCell(node), Kubelet, Proxy)
}

func (c *Cluster) hasNode(node int) error {
	if node < 1 || node > c.state.Nodes {
		return fmt.Errorf("the cluster has no node %d", node)
	}
	return nil
}

func (c *Cluster) known(cellName, component string) error {
	for _, have := range c.lab().Cells() {
		if have.Name != cellName {
			continue
		}
		for _, name := range c.componentsOf(cellName) {
			if name == component {
				return nil
			}
		}
		return fmt.Errorf("%s has no component %q; it has %s", cellName, component, strings.Join(c.componentsOf(cellName), ", "))
	}
	return fmt.Errorf("the cluster has no cell %q; it has %s and node1 to node%d", cellName, controlCell, c.state.Nodes)
}

// NodePath returns the machine's path to a file of a node, for example a socket
// below /run or /var/lib.
func (c *Cluster) NodePath(node int, path string) (string, error) {
	path, err := c.cell(nodeCell(node)).Path(path)
	return path, withRemedy(err)
}

// withRemedy says of a cell that does not run what starts it.
func withRemedy(err error) error {
	if errors.Is(err, cell.ErrNotRunning) {
		err = fmt.Errorf("%w; `akri dev up` starts it", err)
	}
	return err
}
