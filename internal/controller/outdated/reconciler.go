package outdated

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
)

const (
	// reason is the reason of the Events.
	reason = "DeviceChanged"
	// lookInterval is how often a Pod that stays is looked at again: it may be
	// annotated later.
	lookInterval = time.Minute
	// evictionRetryDelay is the delay after a disruption budget refused an
	// eviction.
	evictionRetryDelay = 10 * time.Second
)

// Reconciler carries out [Plan]. Requests name Instances.
type Reconciler struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	// Live reads from the API server: the cache has no users' Pods.
	Live   client.Reader
	Events loop.Recorder
	Log    *slog.Logger

	mu sync.Mutex
	// told are the changes that were reported, by Instance.
	told map[types.NamespacedName]map[v0.OutdatedSlot]bool
}

var _ reconcile.Reconciler = (*Reconciler)(nil)

// SetupWithManager adds the reconciler to the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	concerned := predicate.NewPredicateFuncs(func(o client.Object) bool {
		inst, ok := o.(*v0.Instance)
		return ok && (anyOutdated(inst) || r.knows(client.ObjectKeyFromObject(inst)))
	})
	return loop.Loop{
		Name: "outdated", Workers: 2, FirstRetryDelay: 100 * time.Millisecond, Reconciler: r,
		Watch: func(b *builder.Builder) { b.For(&v0.Instance{}, builder.WithPredicates(concerned)) },
	}.AddTo(mgr)
}

func anyOutdated(inst *v0.Instance) bool {
	for i := range inst.Status.Nodes {
		if len(inst.Status.Nodes[i].Outdated) > 0 {
			return true
		}
	}
	return false
}

func (r *Reconciler) knows(key types.NamespacedName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.told[key]) > 0
}

// Reconcile reconciles one Instance.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	inst := &v0.Instance{}
	err := r.Client.Get(ctx, req.NamespacedName, inst, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("read Instance %s: %w", req, err)
	}
	if err != nil || !anyOutdated(inst) {
		r.mu.Lock()
		delete(r.told, req.NamespacedName)
		r.mu.Unlock()
		return reconcile.Result{}, nil
	}
	var errs []error
	var result reconcile.Result
	seen := map[v0.OutdatedSlot]bool{}
	for _, node := range inst.Status.Nodes {
		for _, slot := range node.Outdated {
			wait, err := r.pod(ctx, inst, node, slot)
			result.RequeueAfter = loop.Sooner(result.RequeueAfter, wait)
			errs = append(errs, err)
			seen[slot] = true
		}
	}
	r.mu.Lock()
	for slot := range r.told[req.NamespacedName] {
		if !seen[slot] {
			delete(r.told[req.NamespacedName], slot)
		}
	}
	r.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	return result, nil
}

// pod handles one Pod, and returns when to look again.
func (r *Reconciler) pod(ctx context.Context, inst *v0.Instance, node v0.InstanceNode, slot v0.OutdatedSlot) (time.Duration, error) {
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: slot.PodNamespace, Name: slot.PodName}
	if err := r.Live.Get(ctx, key, pod); err != nil {
		if apierrors.IsNotFound(err) {
			return 0, nil
		}
		return 0, fmt.Errorf("read Pod %s: %w", key, err)
	}
	switch Plan(inst, node, slot, pod) {
	case Tell:
		r.tell(inst, slot, pod, false)
		return lookInterval, nil
	case Evict:
		r.tell(inst, slot, pod, true)
		return r.evict(ctx, pod)
	}
	return 0, nil
}

// tell creates an Event, once for each change.
func (r *Reconciler) tell(inst *v0.Instance, slot v0.OutdatedSlot, pod *corev1.Pod, evict bool) {
	key := client.ObjectKeyFromObject(inst)
	r.mu.Lock()
	if r.told == nil {
		r.told = map[types.NamespacedName]map[v0.OutdatedSlot]bool{}
	}
	if r.told[key] == nil {
		r.told[key] = map[v0.OutdatedSlot]bool{}
	}
	known := r.told[key][slot]
	r.told[key][slot] = true
	r.mu.Unlock()
	if known {
		return
	}
	r.Log.Warn("the device of a Pod has changed since the Pod got it", "instance", key, "pod", client.ObjectKeyFromObject(pod), "change", slot.Change)
	about := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	r.Events.Eventf(about, inst, corev1.EventTypeWarning, reason, "LookAfterPod", "%s", note(inst, slot, evict))
}

func (r *Reconciler) evict(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	key := client.ObjectKeyFromObject(pod)
	err := r.Client.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
	})
	switch {
	case err == nil:
		r.Log.Info("Pod evicted: its device has changed", "pod", key)
		return 0, nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return 0, nil // gone, or replaced
	case apierrors.IsTooManyRequests(err):
		r.Log.Info("Pod not evicted yet", "pod", key, "why", err)
		return evictionRetryDelay, nil
	}
	return 0, fmt.Errorf("evict Pod %s: %w", key, err)
}
