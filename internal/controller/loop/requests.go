package loop

import (
	"context"
	"log/slog"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
)

// For triggers a loop with the requests that belong to an object.
func For(requests func(client.Object) []reconcile.Request) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request { return requests(o) })
}

// Request names an object; the namespace of a Node is empty.
func Request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// ConfigurationOf names the Configuration of an Instance.
func ConfigurationOf(o client.Object) []reconcile.Request {
	inst, ok := o.(*v0.Instance)
	if !ok {
		return nil
	}
	return []reconcile.Request{Request(inst.Namespace, inst.Spec.ConfigurationName)}
}

// Labelled names the object that is the value of a label.
func Labelled(label string) func(client.Object) []reconcile.Request {
	return func(o client.Object) []reconcile.Request {
		name := o.GetLabels()[label]
		if name == "" {
			return nil
		}
		return []reconcile.Request{Request(o.GetNamespace(), name)}
	}
}

// Instances names the Instances in a cache. An error is only logged, since a
// watch has no retry.
func Instances(ctx context.Context, cache client.Reader, log *slog.Logger, which ...client.ListOption) []reconcile.Request {
	list := &v0.InstanceList{}
	if err := cache.List(ctx, list, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
		log.Error("list Instances", "error", err)
		return nil
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, Request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return out
}

// Changed passes objects that are created or deleted, and those whose value of
// look has changed.
func Changed[T comparable](look func(client.Object) T) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return look(e.ObjectOld) != look(e.ObjectNew) }}
}

// Gone passes only objects that are deleted.
func Gone() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
}
