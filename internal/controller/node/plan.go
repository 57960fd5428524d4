package node

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/jsonpatch"
)

// Node is what is known of the node that a plan is about.
type Node struct {
	Name string
	// Gone means that there is no Node object.
	Gone bool
	// Away is how long the node has been seen not ready.
	Away time.Duration
	// Hold is for how long yet nothing may be done, because the node's agent
	// has shown that it works.
	Hold time.Duration
}

// Grace says how long a node may be away; zero is for ever.
type Grace struct {
	// Node is for a node that is not the last of an Instance, and for slots.
	Node time.Duration
	// Last is for the last nodes of an Instance; it is at least as long as
	// Node.
	Last time.Duration
}

// Instance is what a plan needs to know of an Instance.
type Instance struct {
	UID             types.UID
	ResourceVersion string
	// Nodes and Usage are spec.nodes and spec.deviceUsage.
	Nodes []string
	Usage map[string]string
	// Entries are the names in status.nodes.
	Entries []string
}

// State is all that a plan depends on.
type State struct {
	Node     Node
	Instance Instance
	// Lost are other nodes that are lost as well.
	Lost  map[string]bool
	Grace Grace
}

// Result is what a plan says.
type Result struct {
	// Delete means that no node is left: delete the Instance. Nothing else
	// is to be done then.
	Delete bool
	// Leave means that the node leaves spec.nodes.
	Leave bool
	// Free are the slots to remove from spec.deviceUsage, sorted.
	Free []string
	// Clear means that the node's entry leaves status.nodes.
	Clear bool
	// Again is when to plan anew though nothing else changes; 0 is never.
	Again time.Duration
}

// Nothing tells whether nothing is to be done now.
func (r Result) Nothing() bool { return !r.Delete && !r.Leave && len(r.Free) == 0 && !r.Clear }

// Lost tells whether a node is lost.
func (n Node) Lost(g Grace) bool {
	return n.Hold <= 0 && (n.Gone || g.Node > 0 && n.Away >= g.Node)
}

// Plan decides what one node's absence means to one Instance that names it.
func Plan(s State) Result {
	var (
		out  Result
		n    = s.Node
		here = slices.Contains(s.Instance.Nodes, n.Name)
		held = heldBy(n.Name, s.Instance.Usage)
		told = slices.Contains(s.Instance.Entries, n.Name)
	)
	switch {
	case !here && len(held) == 0 && !told:
		return out
	case n.Hold > 0:
		out.Again = n.Hold
		return out
	case !n.Lost(s.Grace):
		if s.Grace.Node > 0 {
			out.Again = s.Grace.Node - n.Away
		}
		return out
	}
	if here && !n.Gone && !s.seenByOthers() {
		last := max(s.Grace.Last, s.Grace.Node)
		switch {
		case s.Grace.Last <= 0:
			return out
		case n.Away < last:
			out.Again = last - n.Away
			return out
		}
	}
	if here && len(s.Instance.Nodes) == 1 {
		out.Delete = true
		return out
	}
	out.Leave, out.Free, out.Clear = here, held, told
	return out
}

// seenByOthers tells whether a node that is not lost sees the device too.
func (s State) seenByOthers() bool {
	return slices.ContainsFunc(s.Instance.Nodes, func(n string) bool { return n != s.Node.Name && !s.Lost[n] })
}

// heldBy returns the slots that a node holds, sorted. Values that cannot be
// read are not ours to judge.
func heldBy(node string, usage map[string]string) []string {
	var out []string
	for _, slot := range slices.Sorted(maps.Keys(usage)) {
		if u, err := v0.ParseUsage(usage[slot]); err == nil && u.Node == node {
			out = append(out, slot)
		}
	}
	return out
}

// Patch returns the JSON patch that makes an Instance lose what a plan for it
// says; nil if that is nothing. It fails on the API server unless the Instance
// is the very one, and as, the plan was made for.
func Patch(s State, r Result) ([]byte, error) {
	var ops []jsonpatch.Op
	if r.Leave {
		i := slices.Index(s.Instance.Nodes, s.Node.Name)
		ops = append(ops, jsonpatch.RemoveIf(jsonpatch.Pointer("spec", "nodes", strconv.Itoa(i)), s.Node.Name)...)
	}
	for _, slot := range r.Free {
		ops = append(ops, jsonpatch.RemoveIf(jsonpatch.Pointer("spec", "deviceUsage", slot), s.Instance.Usage[slot])...)
	}
	if len(ops) == 0 {
		return nil, nil
	}
	return jsonpatch.Encode(append([]jsonpatch.Op{
		jsonpatch.SameUID(s.Instance.UID),
		jsonpatch.Test("/metadata/resourceVersion", s.Instance.ResourceVersion),
	}, ops...))
}

// EntryPatch returns the JSON patch that removes entry i of status.nodes,
// which is of the node given, from the object of that UID.
func EntryPatch(uid types.UID, i int, node string) ([]byte, error) {
	path := jsonpatch.Pointer("status", "nodes", strconv.Itoa(i))
	return jsonpatch.Encode([]jsonpatch.Op{
		jsonpatch.SameUID(uid),
		jsonpatch.Test(path+"/name", node),
		jsonpatch.Remove(path),
	})
}
