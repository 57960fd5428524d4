package migrate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
)

// Reconciler removes finalizers of upstream's agents from both kinds.
type Reconciler struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	Log    *slog.Logger
}

// SetupWithManager adds the reconciler to the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	for _, k := range []struct {
		name string
		new  func() client.Object
		all  client.ObjectList
	}{
		{"configuration-finalizers", func() client.Object { return &v0.Configuration{} }, &v0.ConfigurationList{}},
		{"instance-finalizers", func() client.Object { return &v0.Instance{} }, &v0.InstanceList{}},
	} {
		err := loop.Loop{
			Name: k.name, Workers: 1, FirstRetryDelay: 100 * time.Millisecond,
			Watch: func(b *builder.Builder) {
				b.For(k.new(), builder.WithPredicates(predicate.NewPredicateFuncs(marked))).
					// A deleted node leaves its finalizers behind.
					Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.ofNode(k.all)), builder.WithPredicates(loop.Gone()))
			},
			Reconciler: reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
				return reconcile.Result{}, r.reconcile(ctx, req, k.new())
			}),
		}.AddTo(mgr)
		if err != nil {
			return err
		}
	}
	return nil
}

// marked reports whether an object may have a finalizer of upstream's.
func marked(o client.Object) bool { return slices.ContainsFunc(o.GetFinalizers(), isNode) }

// ofNode returns the objects that have a node's finalizer.
func (r *Reconciler) ofNode(kind client.ObjectList) handler.MapFunc {
	return func(ctx context.Context, node client.Object) []reconcile.Request {
		var out []reconcile.Request
		list := kind.DeepCopyObject().(client.ObjectList)
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			r.Log.Error("cannot look for finalizers of a node", "node", node.GetName(), "error", err)
			return nil
		}
		add := func(o client.Object) {
			if slices.Contains(o.GetFinalizers(), node.GetName()) {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
			}
		}
		switch l := list.(type) {
		case *v0.ConfigurationList:
			for i := range l.Items {
				add(&l.Items[i])
			}
		case *v0.InstanceList:
			for i := range l.Items {
				add(&l.Items[i])
			}
		}
		return out
	}
}

func (r *Reconciler) reconcile(ctx context.Context, req reconcile.Request, o client.Object) error {
	if err := r.Client.Get(ctx, req.NamespacedName, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !marked(o) {
		return nil
	}
	nodes := &corev1.NodeList{}
	if err := r.Client.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	remove := Plan(State{
		Finalizers: o.GetFinalizers(),
		Deleting:   o.GetDeletionTimestamp() != nil,
		Exists: func(node string) bool {
			return slices.ContainsFunc(nodes.Items, func(n corev1.Node) bool { return n.Name == node })
		},
		Ours: func(node string) bool { return ours(o, node) },
	})
	if len(remove) == 0 {
		return nil
	}
	patch, err := Patch(o.GetFinalizers(), remove)
	if err != nil {
		return err
	}
	err = r.Client.Patch(ctx, o, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(view.FieldManager))
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		// This includes a conflict: the retry then reads the new finalizers.
		return fmt.Errorf("remove finalizers of upstream's agents from %s: %w", req.NamespacedName, err)
	}
	r.Log.Info("finalizers of upstream's agents removed", "kind", kindOf(o), "name", req.NamespacedName, "finalizers", remove)
	return nil
}

// ours reports whether one of our agents has written a node's status into a
// Configuration. From Instances our agents remove the finalizers themselves.
func ours(o client.Object, node string) bool {
	c, ok := o.(*v0.Configuration)
	return ok && slices.ContainsFunc(c.Status.Nodes, func(n v0.ConfigurationNode) bool { return n.Name == node })
}

func kindOf(o client.Object) string {
	if _, ok := o.(*v0.Configuration); ok {
		return "Configuration"
	}
	return "Instance"
}
