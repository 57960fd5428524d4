package service

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
)

// SetupWithManager adds the reconciler to the manager. The indexes of package
// view must be registered.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	name := "instance-service"
	if r.Kind == OfConfiguration {
		name = "configuration-service"
	}
	return loop.Loop{Name: name, Workers: 4, FirstRetryDelay: 50 * time.Millisecond, Watch: r.watch, Reconciler: r}.AddTo(mgr)
}

func (r *Reconciler) watch(b *builder.Builder) {
	coming := builder.WithPredicates(loop.Changed(staying))
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	b.Owns(&corev1.Service{}).
		Watches(&corev1.Pod{}, loop.For(loop.Labelled(r.label())), builder.WithPredicates(backendChanged()))
	if r.Kind == OfInstance {
		b.For(&v0.Instance{}, coming).
			Watches(&v0.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.instancesOf), changed)
	} else {
		b.For(&v0.Configuration{}, changed).
			Watches(&v0.Instance{}, loop.For(loop.ConfigurationOf), coming)
	}
}

// staying reports whether an object is not being deleted.
func staying(o client.Object) bool { return o.GetDeletionTimestamp() == nil }

// backendChanged passes changes that affect the count of backends.
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

// instancesOf returns the Instances of a Configuration.
func (r *Reconciler) instancesOf(ctx context.Context, o client.Object) []reconcile.Request {
	return loop.Instances(ctx, r.Client, r.Log, client.InNamespace(o.GetNamespace()), client.MatchingFields{view.ByConfiguration: o.GetName()})
}
