// Package node decides what becomes of Instances when a node is lost.
//
// A node is lost when its Node object is gone, or when its kubelet has not
// been ready for a grace period. A lost node leaves spec.nodes of every
// Instance and its slots become free; an Instance that no node is left to see
// goes. What follows, brokers moving to other nodes, is package broker's.
//
// The agents' server-side applies own the entries that are removed here. They
// are removed by a JSON patch that tests each one first ([Patch]), so that
// nothing is taken over: when the node is back, its agent applies its entry
// again and meets no conflict.
//
// This package holds the decision. No reconciler carries it out yet.
package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	v0 "github.com/akri-go/akri/api/v0"
)

// Node is what Plan needs to know of a node that exists.
type Node struct {
	// NotReady is since when its kubelet has not been ready; zero if it is.
	NotReady time.Time
}

// State is all that a plan depends on.
type State struct {
	// InNodes and Usage are spec.nodes and spec.deviceUsage of an Instance.
	InNodes []string
	Usage   map[string]string
	// Nodes are those that exist.
	Nodes map[string]Node
	// Grace is how long a node may be not ready.
	Grace time.Duration
	Now   time.Time
}

// Result is what a plan says.
type Result struct {
	// Leave are the nodes to remove from spec.nodes, in their order there.
	Leave []string
	// Free are the slots to remove from spec.deviceUsage, sorted.
	Free []string
	// Delete means that no node is left: delete the Instance instead.
	Delete bool
	// Again is when to plan anew though nothing changes; 0 is never.
	Again time.Duration
}

// Plan decides about one Instance.
func Plan(s State) Result {
	var out Result
	lost := func(name string) bool {
		n, there := s.Nodes[name]
		switch {
		case !there:
			return true
		case n.NotReady.IsZero():
			return false
		}
		left := s.Grace - s.Now.Sub(n.NotReady)
		if left > 0 && (out.Again == 0 || left < out.Again) {
			out.Again = left
		}
		return left <= 0
	}
	for _, n := range s.InNodes {
		if lost(n) {
			out.Leave = append(out.Leave, n)
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(s.Usage)) {
		u, err := v0.ParseUsage(s.Usage[slot])
		if err != nil || u.Free() {
			continue // not ours to judge
		}
		if lost(u.Node) {
			out.Free = append(out.Free, slot)
		}
	}
	out.Delete = len(out.Leave) > 0 && len(out.Leave) == len(s.InNodes)
	return out
}

// Patch returns the JSON patch (RFC 6902) that makes an Instance lose what a
// plan for it says; nil if that is nothing. It fails on the API server if
// anything that it removes has changed meanwhile.
func Patch(s State, r Result) ([]byte, error) {
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	var ops []op
	remove := func(path, value string) {
		ops = append(ops, op{"test", path, value}, op{Op: "remove", Path: path})
	}
	// From the end, so that the indexes stay true.
	for i, n := range slices.Backward(s.InNodes) {
		if slices.Contains(r.Leave, n) {
			remove("/spec/nodes/"+strconv.Itoa(i), n)
		}
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for _, slot := range r.Free {
		remove("/spec/deviceUsage/"+escape.Replace(slot), s.Usage[slot])
	}
	if len(ops) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return b, nil
}
