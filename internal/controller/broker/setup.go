package broker

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
)

// workers is how many Instances are reconciled at the same time: enough to hide
// the latency of writes to the API server.
const workers = 8

// SetupWithManager adds the reconciler to the manager. The indexes of package
// view must be registered.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	// Runs once this replica is elected.
	err := mgr.Add(manager.RunnableFunc(func(context.Context) error {
		r.begin(r.now())
		return nil
	}))
	if err != nil {
		return fmt.Errorf("set up controller broker: %w", err)
	}
	return loop.Loop{
		Name: "broker", Workers: workers, FirstRetryDelay: 50 * time.Millisecond, Reconciler: r,
		Watch: func(b *builder.Builder) {
			b.For(&v0.Instance{}).
				Owns(&corev1.Pod{}).
				Owns(&batchv1.Job{}).
				Watches(&v0.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.ofConfiguration),
					builder.WithPredicates(predicate.GenerationChangedPredicate{})).
				Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.ofNode),
					builder.WithPredicates(loop.Changed(usable)))
		},
	}.AddTo(mgr)
}

// ofConfiguration returns the Instances of a Configuration.
func (r *Reconciler) ofConfiguration(ctx context.Context, o client.Object) []reconcile.Request {
	return loop.Instances(ctx, r.Client, r.Log, client.InNamespace(o.GetNamespace()), client.MatchingFields{view.ByConfiguration: o.GetName()})
}

// ofNode returns the Instances that a node sees and that have a choice of
// nodes.
func (r *Reconciler) ofNode(ctx context.Context, o client.Object) []reconcile.Request {
	return loop.Instances(ctx, r.Client, r.Log, client.MatchingFields{view.ByNode: o.GetName()})
}

// usable reports whether a node can be chosen.
func usable(o client.Object) bool {
	node, ok := o.(*corev1.Node)
	return ok && view.NodeUsable(node)
}
