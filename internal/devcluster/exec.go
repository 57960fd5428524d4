package devcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/cell"
)

// ErrNoNode means that a name is not that of a node or edge node.
var ErrNoNode = errors.New("the cluster has no node")

// NodeNames are the names of the nodes, and then those of the edge nodes.
func (c *Cluster) NodeNames() []string {
	var names []string
	for i := range c.state.Nodes {
		names = append(names, NodeName(i+1))
	}
	for i := range c.state.EdgeNodes {
		names = append(names, EdgeNodeName(i+1))
	}
	return names
}

// Command prepares a command that runs on a node (counted from 1), in its
// namespaces, as root.
func (c *Cluster) Command(ctx context.Context, node int, argv ...string) (*exec.Cmd, error) {
	if err := c.hasNode(node); err != nil {
		return nil, err
	}
	cmd, err := c.cell(nodeCell(node)).Command(ctx, argv...)
	return cmd, withRemedy(err)
}

// Exec runs a command on a node and returns its standard output.
func (c *Cluster) Exec(ctx context.Context, node int, argv ...string) ([]byte, error) {
	cmd, err := c.Command(ctx, node, argv...)
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("run %s on %s: %w: %s", strings.Join(argv, " "), NodeName(node), cell.Interrupted(ctx, err), bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// CommandOn prepares a command that runs on the node or edge node of a name, in its
// namespaces, as root. Its PATH begins with the cluster's programs.
func (c *Cluster) CommandOn(ctx context.Context, name string, argv ...string) (*exec.Cmd, error) {
	number := slices.Index(c.NodeNames(), name) + 1
	if number == 0 {
		return nil, fmt.Errorf("%w %q; it has %s", ErrNoNode, name, strings.Join(c.NodeNames(), ", "))
	}
	on := nodeCell(number)
	if edge := number - c.state.Nodes; edge > 0 {
		on = edgeCell(edge)
	}
	folders := map[string]bool{}
	for _, program := range c.state.Bins {
		folders[filepath.Dir(c.cell(on).InsideBinary(program))] = true
	}
	path := strings.Join(append(slices.Sorted(maps.Keys(folders)), cell.InsidePath(programDir)), ":")
	cmd, err := c.cell(on).Command(ctx, append([]string{"sh", "-c", `PATH="$1:$PATH"; shift; exec "$@"`, "sh", path}, argv...)...)
	return cmd, withRemedy(err)
}
