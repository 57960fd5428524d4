package broker

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// workers is how many Instances are looked at at the same time: enough to
// hide the time that the API server takes for a write.
const workers = 8

// SetupWithManager makes the manager run the reconciler. The indexes of
// package view must be there.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	// Runs once this replica is elected.
	err := mgr.Add(manager.RunnableFunc(func(context.Context) error {
		r.begin(r.now())
		return nil
	}))
	if err != nil {
		return fmt.Errorf("set up controller broker: %w", err)
	}
	err = ctrl.NewControllerManagedBy(mgr).
		Named("broker").
		For(&v0.Instance{}).
		Owns(&corev1.Pod{}).
		Owns(&batchv1.Job{}).
		Watches(&v0.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.ofConfiguration),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.ofNode),
			builder.WithPredicates(nodeUsabilityChanged())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			ReconciliationTimeout:   time.Minute,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				50*time.Millisecond, 30*time.Second),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller broker: %w", err)
	}
	return nil
}

// ofConfiguration returns the Instances of a Configuration.
func (r *Reconciler) ofConfiguration(ctx context.Context, o client.Object) []reconcile.Request {
	return r.instances(ctx, client.InNamespace(o.GetNamespace()), client.MatchingFields{view.ByConfiguration: o.GetName()})
}

// ofNode returns the Instances that a node sees and that have a choice of nodes.
func (r *Reconciler) ofNode(ctx context.Context, o client.Object) []reconcile.Request {
	return r.instances(ctx, client.MatchingFields{view.ByNode: o.GetName()})
}

func (r *Reconciler) instances(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	list := &v0.InstanceList{}
	if err := r.Client.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		r.Log.Error("list Instances", "error", err)
		return nil
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{
			Namespace: list.Items[i].Namespace, Name: list.Items[i].Name,
		}})
	}
	return out
}

// nodeUsabilityChanged lets through what changes which nodes can be chosen.
func nodeUsabilityChanged() predicate.Predicate {
	usable := func(o client.Object) bool {
		node, ok := o.(*corev1.Node)
		return ok && view.NodeUsable(node)
	}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return usable(e.ObjectOld) != usable(e.ObjectNew) },
	}
}
