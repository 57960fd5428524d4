package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
)

// workers is how many nodes each loop of this package works on at a time, and
// firstRetry when it tries again what has failed.
const (
	workers    = 4
	firstRetry = 50 * time.Millisecond
)

// SetupWithManager makes the manager run the reconciler. The indexes of
// package view must be there.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.health.maxGap = r.interval() + late
	return loop.Loop{
		Name: "node", Workers: workers, FirstRetry: firstRetry, Reconciler: r,
		Watch: func(b *builder.Builder) {
			b.For(&corev1.Node{}, builder.WithPredicates(loop.Changed(readinessOf))).
				Watches(&v0.Instance{}, loop.For(nodesOfInstance)).
				Watches(&v0.Configuration{}, loop.For(nodesOfConfiguration))
		},
	}.AddTo(mgr)
}

// readiness is whether a Node is ready, and which one of its name it is.
type readiness struct {
	ready bool
	uid   types.UID
}

func readinessOf(o client.Object) readiness {
	n, ok := o.(*corev1.Node)
	return readiness{ok && view.NodeReady(n), o.GetUID()}
}

// nodesOfInstance returns the nodes that an Instance names.
func nodesOfInstance(o client.Object) []reconcile.Request {
	inst, ok := o.(*v0.Instance)
	if !ok {
		return nil
	}
	var out []reconcile.Request
	for _, n := range view.NodesOf(inst) {
		out = append(out, loop.Request("", n))
	}
	return out
}

// nodesOfConfiguration returns the nodes that have an entry in a
// Configuration's status.
func nodesOfConfiguration(o client.Object) []reconcile.Request {
	c, ok := o.(*v0.Configuration)
	if !ok {
		return nil
	}
	var out []reconcile.Request
	for i := range c.Status.Nodes {
		out = append(out, loop.Request("", c.Status.Nodes[i].Name))
	}
	return out
}
