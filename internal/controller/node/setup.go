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

// Each loop of this package works on this many nodes at a time, and retries
// after this delay at first.
const (
	workers         = 4
	firstRetryDelay = 50 * time.Millisecond
)

// SetupWithManager adds the reconciler to the manager. The indexes of package
// view must be registered.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.health.maxLookGap = r.interval() + maxLookDelay
	return loop.Loop{
		Name: "node", Workers: workers, FirstRetryDelay: firstRetryDelay, Reconciler: r,
		Watch: func(b *builder.Builder) {
			b.For(&corev1.Node{}, builder.WithPredicates(loop.Changed(readinessOf))).
				Watches(&v0.Instance{}, loop.For(nodesOfInstance)).
				Watches(&v0.Configuration{}, loop.For(nodesOfConfiguration))
		},
	}.AddTo(mgr)
}

// readiness is whether a Node is ready, and its UID.
type readiness struct {
	ready bool
	uid   types.UID
}

func readinessOf(o client.Object) readiness {
	n, ok := o.(*corev1.Node)
	return readiness{ok && view.NodeReady(n), o.GetUID()}
}

// nodesOfInstance returns the nodes that an Instance names, or nobody.
func nodesOfInstance(o client.Object) []reconcile.Request {
	inst, ok := o.(*v0.Instance)
	if !ok {
		return nil
	}
	if Abandoned(of(inst)) {
		return []reconcile.Request{loop.Request("", nobody)}
	}
	var out []reconcile.Request
	for _, n := range view.NodesOf(inst) {
		out = append(out, loop.Request("", n))
	}
	return out
}

// nodesOfConfiguration returns the nodes in a Configuration's status.
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
