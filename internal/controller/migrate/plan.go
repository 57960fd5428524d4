// Package migrate removes finalizers that upstream's agents have left behind.
//
// Upstream's agents put a finalizer on every Configuration and Instance: the
// bare name of their node. Each agent removes only its own. If its node is gone
// for good, or runs one of our agents now, the object could never be deleted.
// Our agents set no finalizers. They remove their own node's from Instances
// that they take over, but may not write Configurations.
//
// Everything else that upstream left is taken over where it is used: Instances
// in internal/agent/publish, brokers and Services in the packages beside this
// one.
package migrate

import (
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/jsonpatch"
)

// State is all that a plan depends on.
type State struct {
	// Finalizers are those of a Configuration or an Instance.
	Finalizers []string
	// Deleting means that the object has a deletion timestamp.
	Deleting bool
	// Exists tells whether there is a node.
	// Exists reports whether there is a node of that name.
	Exists func(node string) bool
	// Ours reports whether one of our agents runs on a node, as far as the
	// object says.
	Ours func(node string) bool
}

// Plan returns the finalizers to remove, in their order.
//
// While an upstream agent may still run on the node, its finalizer stays until
// the object is deleted: the agent would only add it again.
func Plan(s State) []string {
	var out []string
	for _, f := range s.Finalizers {
		if isNode(f) && (s.Deleting || !s.Exists(f) || s.Ours(f)) {
			out = append(out, f)
		}
	}
	return out
}

// isNode reports whether a finalizer may be the name of a node. Other
// finalizers have a domain and a slash, except two of Kubernetes.
func isNode(finalizer string) bool {
	return !strings.Contains(finalizer, "/") &&
		finalizer != metav1.FinalizerDeleteDependents && finalizer != metav1.FinalizerOrphanDependents
}

// Patch returns the JSON patch that removes finalizers from those that an
// object has. The API server rejects it if they have changed.
func Patch(finalizers, remove []string) ([]byte, error) {
	var ops []jsonpatch.Op
	// Backward, so that the indexes stay right.
	for i, f := range slices.Backward(finalizers) {
		if slices.Contains(remove, f) {
			ops = append(ops, jsonpatch.RemoveIf(jsonpatch.Pointer("metadata", "finalizers", strconv.Itoa(i)), f)...)
		}
	}
	return jsonpatch.Encode(ops)
}
