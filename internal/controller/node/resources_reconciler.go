package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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

// Resources removes what [PlanResources] finds from the status of Nodes.
// Requests name nodes.
type Resources struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	Log    *slog.Logger
	// Retention is how long a left-over resource is kept.
	Retention time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu       sync.Mutex
	leftOver map[string]map[corev1.ResourceName]LeftOver // by node
}

var _ reconcile.Reconciler = (*Resources)(nil)

// SetupWithManager adds the reconciler to the manager.
func (r *Resources) SetupWithManager(mgr ctrl.Manager) error {
	gone := builder.WithPredicates(loop.Gone())
	return loop.Loop{
		Name: "node-resources", Workers: workers, FirstRetryDelay: firstRetryDelay, Reconciler: r,
		Watch: func(b *builder.Builder) {
			b.For(&corev1.Node{}, builder.WithPredicates(oursChanged())).
				Watches(&v0.Instance{}, handler.EnqueueRequestsFromMapFunc(r.nodesWith), gone).
				Watches(&v0.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.nodesWith), gone)
		},
	}.AddTo(mgr)
}

// oursChanged passes Nodes with resources of ours that are new or have changed. It
// does not pass the kubelet's heartbeats.
func oursChanged() predicate.Predicate {
	of := func(o client.Object) map[corev1.ResourceName][2]string {
		n, ok := o.(*corev1.Node)
		if !ok {
			return nil
		}
		out := map[corev1.ResourceName][2]string{}
		for _, name := range ours(n.Status.Capacity, n.Status.Allocatable) {
			c, a := n.Status.Capacity[name], n.Status.Allocatable[name]
			out[name] = [2]string{c.String(), a.String()}
		}
		return out
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return len(of(e.Object)) > 0 },
		UpdateFunc: func(e event.UpdateEvent) bool { return !maps.Equal(of(e.ObjectOld), of(e.ObjectNew)) },
	}
}

// nodesWith returns the nodes that have the resource of a deleted Instance or
// Configuration. Their time starts again now.
func (r *Resources) nodesWith(ctx context.Context, o client.Object) []reconcile.Request {
	list := &corev1.NodeList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		r.Log.Error("list Nodes", "error", err)
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		n := &list.Items[i]
		name := corev1.ResourceName(v0.ResourceName(o.GetName()))
		_, has := n.Status.Capacity[name]
		_, offers := n.Status.Allocatable[name]
		if has || offers {
			r.anew(n.Name, name)
			out = append(out, loop.Request("", n.Name))
		}
	}
	return out
}

// Reconcile reconciles one Node.
func (r *Resources) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	node := &corev1.Node{}
	err := r.Client.Get(ctx, req.NamespacedName, node, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("read Node %s: %w", req.Name, err)
	}
	if err != nil || len(ours(node.Status.Capacity, node.Status.Allocatable)) == 0 {
		r.remember(req.Name, nil)
		return reconcile.Result{}, nil
	}
	known, err := r.known(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	result := PlanResources(ResourceState{
		Capacity: node.Status.Capacity, Allocatable: node.Status.Allocatable,
		Known:    func(name string) bool { return known[name] },
		LeftOver: r.remembered(req.Name), Retention: r.Retention, Now: r.now(),
	})
	r.remember(req.Name, result.LeftOver)
	if len(result.Remove) == 0 {
		return reconcile.Result{RequeueAfter: result.RequeueAfter}, nil
	}
	patch, err := ResourcePatch(node.UID, node.Status.Capacity, node.Status.Allocatable, result.Remove)
	if err != nil {
		return reconcile.Result{}, err
	}
	o := &corev1.Node{}
	o.Name = node.Name
	err = r.Client.Status().Patch(ctx, o, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(view.FieldManager))
	if err = client.IgnoreNotFound(err); err != nil {
		return reconcile.Result{}, fmt.Errorf("remove left-over resources %v from Node %s: %w", result.Remove, node.Name, err)
	}
	r.Log.Info("left-over resources removed", "node", node.Name, "resources", result.Remove)
	// If the kubelet writes one of them again, its time starts again.
	for _, name := range result.Remove {
		r.anew(req.Name, name)
	}
	return reconcile.Result{RequeueAfter: result.RequeueAfter}, nil
}

func (r *Resources) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// known returns the names of all Instances and Configurations.
func (r *Resources) known(ctx context.Context) (map[string]bool, error) {
	instances, configurations := &v0.InstanceList{}, &v0.ConfigurationList{}
	if err := r.Client.List(ctx, instances, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Instances: %w", err)
	}
	if err := r.Client.List(ctx, configurations, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Configurations: %w", err)
	}
	out := make(map[string]bool, len(instances.Items)+len(configurations.Items))
	for i := range instances.Items {
		out[instances.Items[i].Name] = true
	}
	for i := range configurations.Items {
		out[configurations.Items[i].Name] = true
	}
	return out, nil
}

func (r *Resources) remembered(node string) map[corev1.ResourceName]LeftOver {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.leftOver[node])
}

// anew restarts the time for which a resource has been left over.
func (r *Resources) anew(node string, name corev1.ResourceName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.leftOver[node], name)
}

func (r *Resources) remember(node string, leftOver map[corev1.ResourceName]LeftOver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(leftOver) == 0 {
		delete(r.leftOver, node)
		return
	}
	if r.leftOver == nil {
		r.leftOver = map[string]map[corev1.ResourceName]LeftOver{}
	}
	r.leftOver[node] = leftOver
}
