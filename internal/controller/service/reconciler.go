package service

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/internal/workload"
)

const (
	// retryDelay is when to retry after a problem that somebody else must fix: a
	// foreign Service, or a spec that the API server refuses. An edit of the
	// Configuration triggers a retry at once.
	retryDelay = 5 * time.Minute
	// rightsRetryDelay is when to retry after the controller had no right to apply
	// a Service. An API server that starts has its roles within seconds.
	rightsRetryDelay = 10 * time.Second
)

// Reconciler keeps Services as [Plan] decides. Requests name a subject. There
// is one Reconciler for Instances and one for Configurations.
type Reconciler struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	// Live reads from the API server.
	Live   client.Reader
	Events loop.Recorder
	Log    *slog.Logger
	// Complaints record what is wrong; may be nil.
	Complaints *Complaints
	// Kind of the subjects.
	Kind Kind
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu     sync.Mutex
	memory map[types.NamespacedName]*memory
}

// Kind is the kind of a subject.
type Kind int

const (
	// OfInstance Services select the brokers of one Instance.
	OfInstance Kind = iota
	// OfConfiguration Services select all brokers of a Configuration.
	OfConfiguration
)

// memory is what is remembered of a subject.
type memory struct {
	empty time.Time // since when there has been no backend
	// told is the last complaint, and until when there is no retry.
	told    string
	hash    string
	blocked time.Time
}

var _ reconcile.Reconciler = (*Reconciler)(nil)

// subject is what a Service is for.
type subject struct {
	object client.Object // nil: gone
	config *v0.Configuration
	raw    []byte // the wanted spec; nil: none
	hold   bool
	// expected: see State.
	expected bool
}

// label is what the Services of this kind select by.
func (r *Reconciler) label() string { return workload.ServiceLabel(r.newSubject()) }

// newSubject returns an empty object of the subjects' kind.
func (r *Reconciler) newSubject() client.Object {
	if r.Kind == OfConfiguration {
		return &v0.Configuration{}
	}
	return &v0.Instance{}
}

// Reconcile reconciles the Service of one subject.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	sub, err := r.subject(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	mem := r.remember(req.NamespacedName)
	state := State{Now: r.now(), Expected: sub.expected, Hold: sub.hold}
	if state.Backends, err = r.backends(ctx, req.NamespacedName); err != nil {
		return reconcile.Result{}, err
	}
	if state.Backends.Left > 0 {
		mem.empty = time.Time{}
	} else if mem.empty.IsZero() {
		mem.empty = state.Now
	}
	state.Empty = mem.empty

	var want *unstructured.Unstructured
	if sub.object != nil {
		state.Subject = sub.object.GetUID()
		if sub.raw != nil {
			want, err = workload.NewService(sub.raw, sub.object)
			if err != nil {
				state.Hold = true
				r.complain(sub, mem, "ServiceSpecRefused", err.Error())
			} else {
				state.Hash = want.GetAnnotations()[workload.AnnotationServiceHash]
			}
		}
	}
	if state.Existing, err = r.existing(ctx, req.NamespacedName, state); err != nil {
		return reconcile.Result{}, err
	}
	about := subjectKey{r.Kind, req.NamespacedName}
	switch {
	case sub.object == nil || sub.raw == nil && !sub.hold:
		r.Complaints.drop(about)
	case state.Existing != nil && state.Existing.Ours && state.Hash != "" && state.Existing.Hash == state.Hash:
		mem.told = ""
		r.Complaints.right(about, client.ObjectKeyFromObject(sub.config))
	}
	result := Plan(state)
	switch result.Verb {
	case Apply:
		if wait := mem.blocked.Sub(state.Now); wait > 0 && mem.hash == state.Hash {
			return reconcile.Result{RequeueAfter: min(wait, retryDelay)}, nil
		}
		result.RequeueAfter, err = r.apply(ctx, sub, want, state.Existing, mem)
	case Delete:
		if sub.object == nil {
			// The watches are not in step: it may not be in the cache yet.
			if there, err := r.subjectExists(ctx, req.NamespacedName); there || err != nil {
				return reconcile.Result{}, err
			}
		}
		err = r.delete(ctx, req.Namespace, workload.ServiceName(req.Name), state.Existing.UID)
	case Conflict:
		r.complain(sub, mem, "ServiceNameTaken", fmt.Sprintf(
			"Service %s already exists and was not made for this %s: delete or rename it", workload.ServiceName(req.Name), r.kindName()))
		result.RequeueAfter = retryDelay
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if sub.object == nil {
		r.mu.Lock()
		delete(r.memory, req.NamespacedName)
		r.mu.Unlock()
	}
	return reconcile.Result{RequeueAfter: result.RequeueAfter}, nil
}

func (r *Reconciler) kindName() string {
	if r.Kind == OfInstance {
		return "Instance"
	}
	return "Configuration"
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Reconciler) remember(key types.NamespacedName) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memory == nil {
		r.memory = map[types.NamespacedName]*memory{}
	}
	m := r.memory[key]
	if m == nil {
		m = &memory{}
		r.memory[key] = m
	}
	return m
}

// subject reads a subject, and what is wanted for it.
func (r *Reconciler) subject(ctx context.Context, key types.NamespacedName) (subject, error) {
	var sub subject
	configKey := key
	if r.Kind == OfInstance {
		inst := &v0.Instance{}
		if err := r.Client.Get(ctx, key, inst, client.UnsafeDisableDeepCopy); err != nil {
			return sub, ignoreNotFound(err, "read Instance", key)
		}
		if inst.DeletionTimestamp != nil {
			return sub, nil
		}
		sub.object = inst
		sub.expected = len(inst.Spec.Nodes) > 0
		configKey.Name = inst.Spec.ConfigurationName
	}
	config := &v0.Configuration{}
	if err := r.Client.Get(ctx, configKey, config, client.UnsafeDisableDeepCopy); err != nil {
		sub.hold = true // what is wanted is unknown
		return sub, ignoreNotFound(err, "read Configuration", configKey)
	}
	sub.config = config
	spec := config.Spec.InstanceServiceSpec
	if r.Kind == OfConfiguration {
		if config.DeletionTimestamp != nil {
			return subject{}, nil
		}
		sub.object, spec = config, config.Spec.ConfigurationServiceSpec
		list := &v0.InstanceList{}
		if err := r.Client.List(ctx, list, client.InNamespace(key.Namespace),
			client.MatchingFields{view.ByConfiguration: key.Name}, client.Limit(1), client.UnsafeDisableDeepCopy); err != nil {
			return sub, fmt.Errorf("list Instances of Configuration %s: %w", key, err)
		}
		sub.expected = len(list.Items) > 0
	}
	sub.raw = workload.Raw(spec)
	b := config.Spec.BrokerSpec
	sub.expected = sub.expected && b != nil && (b.BrokerPodSpec != nil || b.BrokerJobSpec != nil)
	return sub, nil
}

// subjectExists asks the API server whether a subject exists and is not being
// deleted.
func (r *Reconciler) subjectExists(ctx context.Context, key types.NamespacedName) (bool, error) {
	o := r.newSubject()
	if err := r.Live.Get(ctx, key, o); err != nil {
		return false, ignoreNotFound(err, "read "+r.kindName(), key)
	}
	return o.GetDeletionTimestamp() == nil, nil
}

func ignoreNotFound(err error, doing string, key types.NamespacedName) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s %s: %w", doing, key, err)
}

// backends counts the Pods that the subject's Service selects.
func (r *Reconciler) backends(ctx context.Context, key types.NamespacedName) (Backends, error) {
	index := view.ByInstanceLabel
	if r.Kind == OfConfiguration {
		index = view.ByConfiguration
	}
	list := &corev1.PodList{}
	if err := r.Client.List(ctx, list, client.InNamespace(key.Namespace),
		client.MatchingFields{index: key.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return Backends{}, fmt.Errorf("list Pods of %s %s: %w", r.kindName(), key, err)
	}
	var b Backends
	for i := range list.Items {
		pod := &list.Items[i]
		if !isBackend(pod) || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		b.Left++
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			b.Running++
		}
	}
	return b, nil
}

// isBackend reports whether a Pod carries all labels of a broker.
func isBackend(o client.Object) bool {
	l := o.GetLabels()
	return l[v0.LabelController] == v0.ControllerName && l[v0.LabelConfiguration] != "" && l[v0.LabelInstance] != ""
}

// existing returns the Service that has the subject's name, or nil. Foreign
// Services are not in the cache, so before one is created the API server is
// asked.
func (r *Reconciler) existing(ctx context.Context, key types.NamespacedName, s State) (*Existing, error) {
	name := types.NamespacedName{Namespace: key.Namespace, Name: workload.ServiceName(key.Name)}
	svc := &corev1.Service{}
	err := r.Client.Get(ctx, name, svc)
	if apierrors.IsNotFound(err) && s.Hash != "" && s.Backends.Running > 0 {
		err = r.Live.Get(ctx, name, svc)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Service %s: %w", name, err)
	}
	e := &Existing{UID: svc.UID, Hash: svc.Annotations[workload.AnnotationServiceHash], Terminating: svc.DeletionTimestamp != nil}
	ref := workload.OwnerConfiguration(svc)
	if r.Kind == OfInstance {
		ref = workload.OwnerInstance(svc)
	}
	if ref != nil && ref.Name == key.Name &&
		svc.Labels[v0.LabelController] == v0.ControllerName && svc.Labels[r.label()] == key.Name {
		e.Ours, e.Owner = true, ref.UID
	}
	return e, nil
}

// apply writes the Service. It returns when to try again if nothing changes.
func (r *Reconciler) apply(ctx context.Context, sub subject, want *unstructured.Unstructured, old *Existing, mem *memory) (time.Duration, error) {
	opts := []client.ApplyOption{client.FieldOwner(view.FieldManager)}
	if old != nil {
		// This Service and no later one, whoever else has written to it.
		want.SetUID(old.UID)
		opts = append(opts, client.ForceOwnership)
	}
	hash := want.GetAnnotations()[workload.AnnotationServiceHash]
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), opts...)
	key := client.ObjectKey{Namespace: want.GetNamespace(), Name: want.GetName()}
	switch {
	case err == nil:
		mem.told, mem.blocked = "", time.Time{}
		r.Complaints.right(subjectKey{r.Kind, client.ObjectKeyFromObject(sub.object)}, client.ObjectKeyFromObject(sub.config))
		verb := "created"
		if old != nil {
			verb = "updated"
		}
		r.Log.Info("Service "+verb, "service", key)
		r.Events.Eventf(sub.object, nil, corev1.EventTypeNormal, "ServiceApplied", "ApplyService", "%s Service %s", verb, key.Name)
		return 0, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return 0, nil
	case view.Temporary(err):
		return 0, fmt.Errorf("apply Service %s: %w", key, err)
	}
	delay := retryDelay
	if view.MissingRight(err) {
		delay = rightsRetryDelay
	}
	mem.hash, mem.blocked = hash, r.now().Add(delay)
	r.complain(sub, mem, "ServiceSpecRefused", fmt.Sprintf("apply Service %s: %v", key.Name, err))
	return delay, nil
}

// complain reports what the user must fix, once in an Event on the
// Configuration, and in its condition.
func (r *Reconciler) complain(sub subject, mem *memory, reason, message string) {
	message = shorten.Text(message, 900)
	r.Complaints.wrong(subjectKey{r.Kind, client.ObjectKeyFromObject(sub.object)}, client.ObjectKeyFromObject(sub.config), reason, message)
	if mem.told == reason+message {
		return
	}
	mem.told = reason + message
	r.Log.Warn("Service", "configuration", client.ObjectKeyFromObject(sub.config), "reason", reason, "message", message)
	r.Events.Eventf(sub.config, nil, corev1.EventTypeWarning, reason, "ApplyService", "%s", message)
}

func (r *Reconciler) delete(ctx context.Context, namespace, name string, uid types.UID) error {
	svc := &corev1.Service{}
	svc.Namespace, svc.Name = namespace, name
	err := r.Client.Delete(ctx, svc, client.Preconditions{UID: &uid})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete Service %s/%s: %w", namespace, name, err)
	}
	r.Log.Info("Service deleted", "service", namespace+"/"+name)
	return nil
}
