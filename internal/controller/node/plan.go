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

// Node is what is known of a node.
type Node struct {
	Name string
	// Gone means that there is no Node object.
	Gone bool
	// AwayFor is how long the node has been seen not ready.
	AwayFor time.Duration
	// HoldFor is how much longer the node is left alone, because its agent has
	// shown that it works.
	HoldFor time.Duration
}

// Grace says how long a node may be away; zero is for ever.
type Grace struct {
	// Node is for a node that is not the last of an Instance, and for slots.
	Node time.Duration
	// Last is for the last node of an Instance; at least as long as Node.
	Last time.Duration
}

// Instance is what a plan needs to know of an Instance.
type Instance struct {
	UID             types.UID
	ResourceVersion string
	Shared          bool
	// Nodes and Usage are spec.nodes and spec.deviceUsage.
	Nodes []string
	Usage map[string]string
	// StatusNodes are the names in status.nodes.
	StatusNodes []string
}

// State is all that a plan depends on.
type State struct {
	Node     Node
	Instance Instance
	// Lost are the other nodes that are lost.
	Lost  map[string]bool
	Grace Grace
}

// Result is a plan.
type Result struct {
	// Delete means: no node is left, and no other node holds a slot. Delete the
	// Instance and do nothing else.
	Delete bool
	// Leave means: remove the node from spec.nodes.
	Leave bool
	// Free are the slots to remove from spec.deviceUsage, sorted.
	Free []string
	// Clear means: remove the node from status.nodes.
	Clear bool
	// RequeueAfter is when to plan again if nothing changes; 0 is never.
	RequeueAfter time.Duration
}

// Nothing reports whether there is nothing to do now.
func (r Result) Nothing() bool { return !r.Delete && !r.Leave && len(r.Free) == 0 && !r.Clear }

// Lost reports whether a node is lost.
func (n Node) Lost(g Grace) bool {
	return n.HoldFor <= 0 && (n.Gone || g.Node > 0 && n.AwayFor >= g.Node)
}

// Plan decides what a node's absence means to one Instance that names it.
func Plan(s State) Result {
	var (
		out  Result
		n    = s.Node
		here = slices.Contains(s.Instance.Nodes, n.Name)
		held = heldBy(n.Name, s.Instance.Usage)
		told = slices.Contains(s.Instance.StatusNodes, n.Name)
	)
	switch {
	case !here && len(held) == 0 && !told:
		return out
	case n.HoldFor > 0:
		out.RequeueAfter = n.HoldFor
		return out
	case !n.Lost(s.Grace):
		if s.Grace.Node > 0 {
			out.RequeueAfter = s.Grace.Node - n.AwayFor
		}
		return out
	}
	if here && !n.Gone && !s.seenByOthers() {
		last := max(s.Grace.Last, s.Grace.Node)
		switch {
		case s.Grace.Last <= 0:
			return out
		case n.AwayFor < last:
			out.RequeueAfter = last - n.AwayFor
			return out
		}
	}
	left := len(s.Instance.Nodes)
	if here {
		left--
	}
	if left == 0 && !s.heldByOthers() {
		out.Delete = true
		return out
	}
	out.Leave, out.Free, out.Clear = here, held, told
	return out
}

// Abandoned reports whether an Instance of a shared device names no node: none sees
// the device, and none holds a slot. Whoever left it last deletes it, but its agent
// may have ended before it did.
func Abandoned(i Instance) bool {
	if !i.Shared || len(i.Nodes)+len(i.StatusNodes) > 0 {
		return false
	}
	for _, value := range i.Usage {
		if u, err := v0.ParseUsage(value); err == nil && !u.Free() {
			return false
		}
	}
	return true
}

// seenByOthers reports whether a node that is not lost also sees the device.
func (s State) seenByOthers() bool {
	return slices.ContainsFunc(s.Instance.Nodes, func(n string) bool { return n != s.Node.Name && !s.Lost[n] })
}

// heldByOthers reports whether another node holds a slot of a shared device. Its
// containers may still have it, so the Instance stays, even without nodes; their
// agent deletes it when it frees the last slot.
func (s State) heldByOthers() bool {
	if !s.Instance.Shared {
		return false
	}
	for _, value := range s.Instance.Usage {
		if u, err := v0.ParseUsage(value); err == nil && !u.Free() && u.Node != s.Node.Name {
			return true
		}
	}
	return false
}

// heldBy returns the slots that a node holds, sorted. Values that cannot be
// read are skipped.
func heldBy(node string, usage map[string]string) []string {
	var out []string
	for _, slot := range slices.Sorted(maps.Keys(usage)) {
		if u, err := v0.ParseUsage(usage[slot]); err == nil && u.Node == node {
			out = append(out, slot)
		}
	}
	return out
}

// Patch returns the JSON patch that carries out a plan on its Instance; nil if
// there is nothing to do. The API server rejects it if the Instance has changed
// since the plan.
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

// StatusNodePatch returns the JSON patch that removes element i of
// status.nodes, which is the node's, from the object with that UID.
func StatusNodePatch(uid types.UID, i int, node string) ([]byte, error) {
	path := jsonpatch.Pointer("status", "nodes", strconv.Itoa(i))
	return jsonpatch.Encode([]jsonpatch.Op{
		jsonpatch.SameUID(uid),
		jsonpatch.Test(path+"/name", node),
		jsonpatch.Remove(path),
	})
}
