package status

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// Verdicts knows whether broker specs can be used.
type Verdicts interface {
	// Verdict tells whether a Configuration's broker spec was tried since the
	// start, and why it was refused if it was.
	Verdict(configuration types.NamespacedName) (tried bool, refusal string)
}

// Services knows whether the Services of Configurations can be made.
type Services interface {
	// Verdict tells whether one was tried since the start, and if one is not
	// as it should be, why: a reason and a message.
	Verdict(configuration types.NamespacedName) (tried bool, reason, message string)
}

// Reconcilers write the conditions of both kinds.
type Reconcilers struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	// Live reads from the API server.
	Live     client.Reader
	Log      *slog.Logger
	Verdicts Verdicts
	Services Services
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu    sync.Mutex
	queue interface{ Add(reconcile.Request) } // nil before the start

	// noStatus is set when the cluster's CRDs turn out to be of a time before
	// they had a status.
	noStatus sync.Once
}

// SetupWithManager makes the manager run both reconcilers.
func (r *Reconcilers) SetupWithManager(mgr ctrl.Manager) error {
	options := controller.Options{
		MaxConcurrentReconciles: 2,
		ReconciliationTimeout:   time.Minute,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			100*time.Millisecond, 30*time.Second),
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("configuration-status").
		For(&v0.Configuration{}).
		Watches(&v0.Instance{}, r.onDevices()).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.queue = q
			return nil
		})).
		WithOptions(options).
		Complete(reconcile.Func(r.configuration))
	if err != nil {
		return fmt.Errorf("set up controller of Configuration conditions: %w", err)
	}
	err = ctrl.NewControllerManagedBy(mgr).Named("instance-status").
		For(&v0.Instance{}).
		WithOptions(options).
		Complete(reconcile.Func(r.instance))
	if err != nil {
		return fmt.Errorf("set up controller of Instance conditions: %w", err)
	}
	return nil
}

// Touch has the conditions of a Configuration looked at: its verdict changed.
// Before the start it does nothing, since the start looks at all.
func (r *Reconcilers) Touch(configuration types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue != nil {
		r.queue.Add(reconcile.Request{NamespacedName: configuration})
	}
}

func (r *Reconcilers) now() metav1.Time {
	if r.Now != nil {
		return metav1.NewTime(r.Now())
	}
	return metav1.Now()
}

func (r *Reconcilers) configuration(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	c := &v0.Configuration{}
	if err := r.Client.Get(ctx, req.NamespacedName, c, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	tried, refusal := r.Verdicts.Verdict(req.NamespacedName)
	want := OfConfiguration(c, Verdict{Tried: tried, Refusal: refusal}, r.now())
	var services ServiceVerdict
	services.Tried, services.Reason, services.Message = r.Services.Verdict(req.NamespacedName)
	want = append(want, OfServices(c, services, r.now())...)
	twins, err := r.twins(ctx, c)
	if err != nil {
		return reconcile.Result{}, err
	}
	want = append(want, OfTwins(c, twins, r.now())...)
	// helm and others wait until the generation was seen, though it may change
	// no condition.
	seen := len(want) == 0 || c.Status.ObservedGeneration == c.Generation
	if c.DeletionTimestamp != nil || seen && Same(want, c.Status.Conditions) {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.write(ctx, c, "Configuration", want, map[string]any{"observedGeneration": c.Generation})
}

func (r *Reconcilers) instance(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	inst := &v0.Instance{}
	if err := r.Client.Get(ctx, req.NamespacedName, inst, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	want := OfInstance(inst, r.now())
	if inst.DeletionTimestamp != nil || Same(want, inst.Status.Conditions) {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.write(ctx, inst, "Instance", want, map[string]any{})
}

// write applies the conditions to the status of an object.
func (r *Reconcilers) write(ctx context.Context, o client.Object, kind string, conditions []metav1.Condition, status map[string]any) error {
	list := make([]any, 0, len(conditions))
	for i := range conditions {
		c, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&conditions[i])
		if err != nil {
			return fmt.Errorf("encode condition %s: %w", conditions[i].Type, err)
		}
		list = append(list, c)
	}
	status["conditions"] = list
	u := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	u.SetAPIVersion(v0.GroupVersion.String())
	u.SetKind(kind)
	u.SetNamespace(o.GetNamespace())
	u.SetName(o.GetName())
	u.SetUID(o.GetUID())
	err := r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u),
		client.FieldOwner(view.FieldManager), client.ForceOwnership)
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err):
		return nil // another object has the name by now; its event is on the way
	case apierrors.IsNotFound(err):
		if live := r.Live.Get(ctx, client.ObjectKeyFromObject(o), o.DeepCopyObject().(client.Object)); live == nil {
			r.noStatus.Do(func() {
				r.Log.Warn("the cluster's CRDs have no status subresource: conditions are not written; apply the CRDs of this release", "kind", kind)
			})
		}
		return nil
	}
	return fmt.Errorf("write conditions of %s %s: %w", kind, client.ObjectKeyFromObject(o), err)
}
