// Package migrate takes away what upstream's agents have left on objects and
// nobody else would remove: finalizers.
//
// Upstream's agents put a finalizer on every Configuration and Instance, whose
// text is the bare name of their node. Each removes only its own, so that one
// whose node is gone for good, or has another agent now, holds the object for
// ever. Our agents set none; they remove their own node's from the Instances
// that they take over, but may not write Configurations.
//
// All else of upstream's that must be taken over is done where it is used:
// Instances in internal/agent/publish, brokers and Services in the packages
// beside this one.
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
	Exists func(node string) bool
	// Ours tells whether an agent of ours runs on a node, as far as the object
	// says.
	Ours func(node string) bool
}

// Plan returns the finalizers to remove, in their order.
//
// While an upstream agent may still run on the node, its finalizer stays until
// the object is deleted: it would only put it there again.
func Plan(s State) []string {
	var out []string
	for _, f := range s.Finalizers {
		if isNode(f) && (s.Deleting || !s.Exists(f) || s.Ours(f)) {
			out = append(out, f)
		}
	}
	return out
}

// isNode tells whether a finalizer may be the name of a node. Those of others
// have a domain and a slash, except two of Kubernetes.
func isNode(finalizer string) bool {
	return !strings.Contains(finalizer, "/") &&
		finalizer != metav1.FinalizerDeleteDependents && finalizer != metav1.FinalizerOrphanDependents
}

// Patch returns the JSON patch that removes finalizers from those that an
// object has. It fails on the API server if they have changed meanwhile.
func Patch(finalizers, remove []string) ([]byte, error) {
	var ops []jsonpatch.Op
	// From the end, so that the indexes stay true.
	for i, f := range slices.Backward(finalizers) {
		if slices.Contains(remove, f) {
			ops = append(ops, jsonpatch.RemoveIf(jsonpatch.Pointer("metadata", "finalizers", strconv.Itoa(i)), f)...)
		}
	}
	return jsonpatch.Encode(ops)
}
