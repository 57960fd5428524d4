package service

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

// SetupWithManager makes the manager run the reconciler. The indexes of
// package view must be there.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Owns(&corev1.Service{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.ofPod), builder.WithPredicates(backendChanged())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			ReconciliationTimeout:   time.Minute,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				50*time.Millisecond, 30*time.Second),
		})
	if r.Kind == OfInstance {
		b = b.Named("instance-service").
			For(&v0.Instance{}, builder.WithPredicates(coming())).
			Watches(&v0.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.instancesOf),
				builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	} else {
		b = b.Named("configuration-service").
			For(&v0.Configuration{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
			Watches(&v0.Instance{}, handler.EnqueueRequestsFromMapFunc(configurationOf), builder.WithPredicates(coming()))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up controller of %s Services: %w", r.kindName(), err)
	}
	return nil
}

// coming lets through Instances that come, go, or begin to go.
func coming() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return (e.ObjectOld.GetDeletionTimestamp() == nil) != (e.ObjectNew.GetDeletionTimestamp() == nil)
	}}
}

// backendChanged lets through what changes the count of backends.
func backendChanged() predicate.Predicate {
	kind := func(o client.Object) string {
		pod, ok := o.(*corev1.Pod)
		if !ok || !isBackend(pod) {
			return ""
		}
		l := pod.Labels
		return fmt.Sprint(pod.Status.Phase, pod.DeletionTimestamp != nil, l[v0.LabelConfiguration], "/", l[v0.LabelInstance])
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return kind(e.Object) != "" },
		DeleteFunc: func(e event.DeleteEvent) bool { return kind(e.Object) != "" },
		UpdateFunc: func(e event.UpdateEvent) bool { return kind(e.ObjectOld) != kind(e.ObjectNew) },
	}
}

// ofPod returns the subject of the Service that selects a Pod.
func (r *Reconciler) ofPod(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[r.label()]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// instancesOf returns the Instances of a Configuration.
func (r *Reconciler) instancesOf(ctx context.Context, o client.Object) []reconcile.Request {
	list := &v0.InstanceList{}
	if err := r.Client.List(ctx, list, client.InNamespace(o.GetNamespace()),
		client.MatchingFields{view.ByConfiguration: o.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		r.Log.Error("list Instances", "error", err)
		return nil
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

// configurationOf returns the Configuration of an Instance.
func configurationOf(_ context.Context, o client.Object) []reconcile.Request {
	inst, ok := o.(*v0.Instance)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: inst.Namespace, Name: inst.Spec.ConfigurationName,
	}}}
}
