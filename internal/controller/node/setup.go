package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// options are those of the controllers of this package.
func options() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: 4,
		ReconciliationTimeout:   time.Minute,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			50*time.Millisecond, 30*time.Second),
	}
}

// SetupWithManager makes the manager run the reconciler. The indexes of
// package view must be there.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.health.maxGap = r.interval() + late
	err := ctrl.NewControllerManagedBy(mgr).
		Named("node").
		For(&corev1.Node{}, builder.WithPredicates(readinessChanged())).
		Watches(&v0.Instance{}, handler.EnqueueRequestsFromMapFunc(nodesOfInstance)).
		Watches(&v0.Configuration{}, handler.EnqueueRequestsFromMapFunc(nodesOfConfiguration)).
		WithOptions(options()).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller node: %w", err)
	}
	return nil
}

// readinessChanged lets through Nodes that come, go, or are ready no more or
// again.
func readinessChanged() predicate.Predicate {
	ready := func(o client.Object) bool {
		n, ok := o.(*corev1.Node)
		return ok && view.NodeReady(n)
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return ready(e.ObjectOld) != ready(e.ObjectNew) || e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
	}}
}

// nodesOfInstance returns the nodes that an Instance names.
func nodesOfInstance(_ context.Context, o client.Object) []reconcile.Request {
	inst, ok := o.(*v0.Instance)
	if !ok {
		return nil
	}
	var out []reconcile.Request
	for _, n := range view.NodesOf(inst) {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: n}})
	}
	return out
}

// nodesOfConfiguration returns the nodes that have an entry in a
// Configuration's status.
func nodesOfConfiguration(_ context.Context, o client.Object) []reconcile.Request {
	c, ok := o.(*v0.Configuration)
	if !ok {
		return nil
	}
	var out []reconcile.Request
	for i := range c.Status.Nodes {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: c.Status.Nodes[i].Name}})
	}
	return out
}
