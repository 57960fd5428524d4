package devcluster

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/cell"
)

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

// CommandOn prepares a command that runs on the node or edge node of a name, in its
// namespaces, as root. Its PATH begins with the cluster's programs.
func (c *Cluster) CommandOn(ctx context.Context, name string, argv ...string) (*exec.Cmd, error) {
	number := slices.Index(c.NodeNames(), name) + 1
	if number == 0 {
		return nil, fmt.Errorf("the cluster has no node %q; it has %s", name, strings.Join(c.NodeNames(), ", "))
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
