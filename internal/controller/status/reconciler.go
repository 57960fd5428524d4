package status

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/workload"
	"github.com/akri-go/akri/internal/workload/health"
)

// Verdicts knows whether broker specs can be used.
type Verdicts interface {
	// Verdict reports whether a Configuration's broker spec was tried since the
	// start, and why it was refused, if it was.
	Verdict(configuration types.NamespacedName) (tried bool, refusal string)
}

// Services knows whether the Services of Configurations can be made.
type Services interface {
	// Verdict reports whether a Service was tried since the start, and if one
	// is wrong, why: a reason and a message.
	Verdict(configuration types.NamespacedName) (tried bool, reason, message string)
}

// Reconcilers write the conditions of Configurations and Instances.
type Reconcilers struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	// Live reads from the API server.
	Live     client.Reader
	Log      *slog.Logger
	Events   loop.Recorder
	Verdicts Verdicts
	Services Services
	// Silent reports whether a node's agent does not respond; nil if unknown.
	Silent func(node string) bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu sync.Mutex
	// Queues of both controllers; nil before the start.
	configurations, instances queue
	later                     later

	// noStatus is used once if the cluster's CRDs are older than the status
	// subresource.
	noStatus sync.Once
}

type queue interface{ Add(reconcile.Request) }

// SetupWithManager adds both reconcilers to the manager.
func (r *Reconcilers) SetupWithManager(mgr ctrl.Manager) error {
	r.later.init()
	take := func(to *queue) source.Source {
		return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			*to = q
			return nil
		})
	}
	fares := builder.WithPredicates(loop.Changed(fares))
	for _, l := range []loop.Loop{
		{
			Name: "configuration-status", Reconciler: reconcile.Func(r.configuration),
			Watch: func(b *builder.Builder) {
				b.For(&v0.Configuration{}).
					Watches(&v0.Instance{}, soon(loop.ConfigurationOf)).
					Watches(&v0.Instance{}, r.onDevices()).
					Watches(&corev1.Pod{}, soon(loop.Labelled(v0.LabelConfiguration)), fares).
					Watches(&batchv1.Job{}, soon(loop.Labelled(v0.LabelConfiguration))).
					WatchesRawSource(take(&r.configurations))
			},
		},
		{
			Name: "instance-status", Reconciler: reconcile.Func(r.instance),
			Watch: func(b *builder.Builder) {
				b.For(&v0.Instance{}).
					Watches(&corev1.Pod{}, loop.For(loop.Labelled(v0.LabelInstance)), fares).
					WatchesRawSource(take(&r.instances))
			},
		},
	} {
		l.Workers, l.FirstRetryDelay = 2, 100*time.Millisecond
		if err := l.AddTo(mgr); err != nil {
			return err
		}
	}
	return nil
}

// Touch requeues a Configuration, since its verdict changed. Before the start
// it does nothing, since the start requeues all.
func (r *Reconcilers) Touch(configuration types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.configurations != nil {
		r.configurations.Add(reconcile.Request{NamespacedName: configuration})
	}
}

// TouchNodes requeues all objects whose status names these nodes: their agents
// fell silent, or respond again.
func (r *Reconcilers) TouchNodes(ctx context.Context, nodes []string) {
	r.mu.Lock()
	configurations, instances := r.configurations, r.instances
	r.mu.Unlock()
	if configurations == nil || instances == nil {
		return
	}
	all := &v0.ConfigurationList{}
	if err := r.Client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		r.Log.Error("list Configurations", "error", err)
		return
	}
	for i := range all.Items {
		if slices.ContainsFunc(all.Items[i].Status.Nodes, func(n v0.ConfigurationNode) bool { return slices.Contains(nodes, n.Name) }) {
			configurations.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	for _, node := range nodes {
		list := &v0.InstanceList{}
		if err := r.Client.List(ctx, list, client.MatchingFields{view.ByNode: node}, client.UnsafeDisableDeepCopy); err != nil {
			r.Log.Error("list Instances", "error", err)
			return
		}
		for i := range list.Items {
			instances.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
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
		r.later.forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	// One that is being deleted may stay for long, for somebody's finalizer.
	tried, refusal := r.Verdicts.Verdict(req.NamespacedName)
	facts := Facts{Verdict: Verdict{Tried: tried, Refusal: refusal}, Silent: r.Silent}
	var err error
	if facts.Brokers, err = r.brokers(ctx, req.Namespace, client.MatchingFields{view.ByConfiguration: req.Name}); err != nil {
		return reconcile.Result{}, err
	}
	instances, done, err := r.devices(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	want := OfConfiguration(c, facts, r.now())
	var services ServiceVerdict
	services.Tried, services.Reason, services.Message = r.Services.Verdict(req.NamespacedName)
	want = append(want, OfServices(c, services, r.now())...)
	twins, err := r.twins(ctx, c)
	if err != nil {
		return reconcile.Result{}, err
	}
	want = append(want, OfTwins(c, twins, r.now())...)
	devices, ready := int32(len(instances)), Brokers(c, instances, facts.Brokers, done)
	diff := Compare(want, c.Status.Conditions)
	switch {
	// helm and others wait for observedGeneration, even if no condition
	// changes.
	case len(want) > 0 && c.Status.ObservedGeneration != c.Generation:
		diff = Now
	case c.Status.Devices != devices, c.Status.Brokers != ready:
		diff = max(diff, Later)
	}
	if wait := r.later.wait(req.NamespacedName, diff, r.now().Time); diff == Nothing || wait > 0 {
		return reconcile.Result{RequeueAfter: loop.Sooner(wait, facts.again())}, nil
	}
	status := map[string]any{"observedGeneration": c.Generation, "devices": int64(devices)}
	if ready != "" {
		status["brokers"] = ready
	}
	return reconcile.Result{RequeueAfter: facts.again()}, r.write(ctx, c, "Configuration", want, status)
}

func (r *Reconcilers) instance(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	inst := &v0.Instance{}
	if err := r.Client.Get(ctx, req.NamespacedName, inst, client.UnsafeDisableDeepCopy); err != nil {
		r.later.forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if inst.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	facts := Facts{Silent: r.Silent}
	var err error
	if facts.Brokers, err = r.brokers(ctx, req.Namespace, client.MatchingFields{view.ByInstanceLabel: req.Name}); err != nil {
		return reconcile.Result{}, err
	}
	want := OfInstance(inst, facts, r.now())
	device, used := view.DeviceName(inst), Used(inst)
	diff := Compare(want, inst.Status.Conditions)
	if inst.Status.Device != device || inst.Status.Used != used {
		diff = max(diff, Later)
	}
	if wait := r.later.wait(req.NamespacedName, diff, r.now().Time); diff == Nothing || wait > 0 {
		return reconcile.Result{RequeueAfter: loop.Sooner(wait, facts.again())}, nil
	}
	status := map[string]any{"used": used}
	if device != "" {
		status["device"] = device
	}
	if err := r.write(ctx, inst, "Instance", want, status); err != nil {
		return reconcile.Result{}, err
	}
	r.tell(inst, want)
	return reconcile.Result{RequeueAfter: facts.again()}, nil
}

// tell creates an Event about brokers that do not run, when that is written.
func (r *Reconcilers) tell(inst *v0.Instance, want []metav1.Condition) {
	b, was := meta.FindStatusCondition(want, BrokersReady), meta.FindStatusCondition(inst.Status.Conditions, BrokersReady)
	if b == nil || b.Status != metav1.ConditionFalse || was != nil && was.Status == b.Status {
		return
	}
	r.Events.Eventf(inst, nil, corev1.EventTypeWarning, "BrokerNotReady", "RunBroker", "%s", b.Message)
}

// brokers reads how the brokers of an Instance or a Configuration are doing.
func (r *Reconcilers) brokers(ctx context.Context, namespace string, which client.MatchingFields) ([]health.Broker, error) {
	list := &corev1.PodList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), which, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list broker Pods: %w", err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.DeletionTimestamp != nil || pod.Labels[v0.LabelController] != v0.ControllerName {
			continue
		}
		if ref := metav1.GetControllerOfNoCopy(pod); workload.OwnerInstance(pod) == nil && (ref == nil || ref.Kind != "Job") {
			continue // somebody else's with our labels
		}
		pods = append(pods, pod)
	}
	now := r.now().Time
	var out []health.Broker
	for _, pod := range health.LastTries(pods) {
		b := health.Judge(pod, workload.OwnerInstance(pod) == nil, now)
		b.Instance = pod.Labels[v0.LabelInstance]
		out = append(out, b)
	}
	return out, nil
}

// devices returns the Instances of a Configuration, and those whose Job has
// succeeded.
func (r *Reconcilers) devices(ctx context.Context, configuration types.NamespacedName) (names []string, done map[string]bool, err error) {
	list := &v0.InstanceList{}
	if err := r.Client.List(ctx, list, client.InNamespace(configuration.Namespace),
		client.MatchingFields{view.ByConfiguration: configuration.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("list Instances of Configuration %s: %w", configuration, err)
	}
	jobs := &batchv1.JobList{}
	if err := r.Client.List(ctx, jobs, client.InNamespace(configuration.Namespace),
		client.MatchingLabels{v0.LabelConfiguration: configuration.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("list Jobs of Configuration %s: %w", configuration, err)
	}
	done = map[string]bool{}
	for i := range jobs.Items {
		if jobs.Items[i].Status.Succeeded > 0 {
			done[jobs.Items[i].Labels[v0.LabelInstance]] = true
		}
	}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names, done, nil
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
		return nil // another object has the name now; its event is on the way
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
