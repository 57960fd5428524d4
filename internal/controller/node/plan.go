package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
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

// op is one step of a JSON patch (RFC 6902).
type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
}

// remove returns the steps that remove a value if it is what it was thought
// to be.
func remove(path, value string) []op {
	return []op{{"test", path, value}, {Op: "remove", Path: path}}
}

// escape writes a key as a part of a JSON pointer (RFC 6901).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

func encode(ops []op) ([]byte, error) {
	b, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return b, nil
}

// Patch returns the JSON patch that makes an Instance lose what a plan for it
// says; nil if that is nothing. It fails on the API server unless the Instance
// is the very one, and as, the plan was made for.
func Patch(s State, r Result) ([]byte, error) {
	var ops []op
	if r.Leave {
		i := slices.Index(s.Instance.Nodes, s.Node.Name)
		ops = append(ops, remove("/spec/nodes/"+strconv.Itoa(i), s.Node.Name)...)
	}
	for _, slot := range r.Free {
		ops = append(ops, remove("/spec/deviceUsage/"+escape(slot), s.Instance.Usage[slot])...)
	}
	if len(ops) == 0 {
		return nil, nil
	}
	return encode(append([]op{
		{"test", "/metadata/uid", string(s.Instance.UID)},
		{"test", "/metadata/resourceVersion", s.Instance.ResourceVersion},
	}, ops...))
}

// EntryPatch returns the JSON patch that removes entry i of status.nodes,
// which is of the node given, from the object of that UID.
func EntryPatch(uid types.UID, i int, node string) ([]byte, error) {
	path := "/status/nodes/" + strconv.Itoa(i)
	return encode([]op{
		{"test", "/metadata/uid", string(uid)},
		{"test", path + "/name", node},
		{Op: "remove", Path: path},
	})
}
