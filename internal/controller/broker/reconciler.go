package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/internal/workload"
)

// Reconciler keeps the brokers of each Instance as [Plan] and [PlanJobs]
// decide. Requests name Instances.
type Reconciler struct {
	// Client reads from the cache of package view and writes to the API.
	Client client.Client
	// Live reads from the API server. It is used where a stale cache would cost
	// a broker.
	Live     client.Reader
	Events   loop.Recorder
	Log      *slog.Logger
	Refusals *Refusals
	Latency  *Latency // nil for none
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu      sync.Mutex
	memory  map[types.NamespacedName]*memory
	started time.Time // since when this controller is the leader
}

var _ reconcile.Reconciler = (*Reconciler)(nil)

// desired is the workload that a Configuration asks for.
type desired struct {
	config *v0.Configuration
	// hold means that nothing may be concluded from the absence of the rest.
	hold bool
	pod  *workload.PodTemplate
	job  *workload.JobTemplate
}

// Reconcile reconciles one Instance.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	inst := &v0.Instance{}
	err := r.Client.Get(ctx, req.NamespacedName, inst)
	switch {
	case apierrors.IsNotFound(err):
		inst = nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("read Instance %s: %w", req, err)
	}
	list := &corev1.PodList{}
	if err := r.Client.List(ctx, list, client.InNamespace(req.Namespace),
		client.MatchingFields{view.ByOwnerInstance: req.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("list broker Pods of Instance %s: %w", req, err)
	}
	if inst == nil {
		return reconcile.Result{}, r.cleanUp(ctx, req.NamespacedName, list)
	}

	mem := r.remember(inst)
	want, err := r.desired(ctx, inst)
	if err != nil {
		return reconcile.Result{}, err
	}
	state, err := r.state(ctx, inst, want, list, mem)
	if err != nil {
		return reconcile.Result{}, err
	}
	if took, ok := mem.first.observe(state.Pods, state.Now); ok {
		r.Latency.observe(inst.Spec.ConfigurationName, took)
	}
	result := Plan(state)
	again, err := r.carryOut(ctx, inst, want, result, mem)
	jobsAgain, jobErr := r.reconcileJobs(ctx, inst, want)
	if err := errors.Join(err, jobErr); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: loop.Sooner(again, jobsAgain)}, nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// begin notes since when this controller is the leader.
func (r *Reconciler) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started.IsZero() {
		r.started = now
	}
}

// remember returns the memory of an Instance. The work queue guarantees that
// only one worker has it at a time.
func (r *Reconciler) remember(inst *v0.Instance) *memory {
	key, now := client.ObjectKeyFromObject(inst), r.now()
	r.begin(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memory == nil {
		r.memory = map[types.NamespacedName]*memory{}
	}
	m := r.memory[key]
	if m == nil || m.uid != inst.UID {
		m = newMemory(inst.UID)
		m.first = begin(inst.CreationTimestamp.Time, r.started, now)
		r.memory[key] = m
	}
	return m
}

// cleanUp deletes the brokers of an Instance that is gone. Their owner
// references would do the same, but later.
func (r *Reconciler) cleanUp(ctx context.Context, key types.NamespacedName, list *corev1.PodList) error {
	if len(list.Items) > 0 {
		// The two watches are not in step: the Pods may belong to an Instance
		// that is not in the cache yet.
		err := r.Live.Get(ctx, key, &v0.Instance{})
		if err == nil {
			return nil // its event is on the way
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("read Instance %s: %w", key, err)
		}
	}
	r.mu.Lock()
	delete(r.memory, key)
	r.mu.Unlock()
	pods := make([]Pod, 0, len(list.Items))
	for i := range list.Items {
		pods = append(pods, podFacts(&list.Items[i], nil))
	}
	var errs []error
	for _, a := range Plan(State{Pods: pods, Now: r.now()}).Actions {
		errs = append(errs, r.deletePod(ctx, key, nil, a))
	}
	return errors.Join(append(errs, r.deleteJobs(ctx, key))...)
}

// desired reads what the Instance's Configuration asks for.
func (r *Reconciler) desired(ctx context.Context, inst *v0.Instance) (desired, error) {
	key := types.NamespacedName{Namespace: inst.Namespace, Name: inst.Spec.ConfigurationName}
	config := &v0.Configuration{}
	err := r.Client.Get(ctx, key, config, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		r.Refusals.clear(key)
		return desired{hold: true}, nil
	case err != nil:
		return desired{}, fmt.Errorf("read Configuration %s: %w", key, err)
	}
	d := desired{config: config}
	if ref := workload.OwnerConfiguration(inst); ref != nil && ref.UID != config.UID || config.DeletionTimestamp != nil {
		// The Configuration is gone or being deleted; the Instance will follow.
		d.hold = true
		return d, nil
	}
	podSpec, jobSpec := specsOf(config)
	switch {
	case podSpec != nil && jobSpec != nil:
		err = errors.New("brokerSpec: give brokerPodSpec or brokerJobSpec, not both")
	case podSpec != nil:
		if d.pod, err = workload.ParsePod(podSpec); err != nil {
			err = fmt.Errorf("brokerSpec.brokerPodSpec: %w", err)
		}
	case podSpec == nil && jobSpec == nil:
		r.Refusals.clear(key)
	case jobSpec != nil:
		if d.job, err = workload.ParseJob(jobSpec); err != nil {
			err = fmt.Errorf("brokerSpec.brokerJobSpec: %w", err)
		}
	}
	if err != nil {
		d.hold = true
		r.refused(config, "", err.Error())
	}
	return d, nil
}

// specsOf returns a Configuration's broker specs as JSON; nil if absent.
func specsOf(config *v0.Configuration) (pod, job []byte) {
	b := config.Spec.BrokerSpec
	if b == nil {
		return nil, nil
	}
	return workload.Raw(b.BrokerPodSpec), workload.Raw(b.BrokerJobSpec)
}

// refused records a broker spec that cannot be used, and reports it once.
func (r *Reconciler) refused(config *v0.Configuration, hash, message string) {
	message = shorten.Text(message, 900)
	if !r.Refusals.refuse(client.ObjectKeyFromObject(config), hash, message, r.now()) {
		return
	}
	r.Log.Warn("broker spec refused", "configuration", client.ObjectKeyFromObject(config), "error", message)
	r.Events.Eventf(config, nil, corev1.EventTypeWarning, "BrokerSpecRefused", "CreateBroker", "%s", message)
}

// state collects what the plan depends on.
func (r *Reconciler) state(ctx context.Context, inst *v0.Instance, want desired, list *corev1.PodList, mem *memory) (State, error) {
	now := r.now()
	s := State{Instance: instanceFacts(inst), Hold: want.hold, Now: now}
	for i := range list.Items {
		s.Pods = append(s.Pods, podFacts(&list.Items[i], inst.Spec.Nodes))
	}
	if err := r.addUnseen(ctx, inst, &s, mem); err != nil {
		return s, err
	}
	mem.observe(s.Pods, now)
	s.Gone = mem.goneNodes()
	if want.pod != nil {
		s.Spec = &Spec{Hash: want.pod.Hash, Quantity: want.pod.Quantity}
		if mem.hash != s.Spec.Hash {
			mem.hash, mem.history = s.Spec.Hash, nil
		}
	}
	s.History = mem.history
	if inst.Spec.Shared {
		s.Usable = map[string]bool{}
		for _, name := range inst.Spec.Nodes {
			node := &corev1.Node{}
			err := r.Client.Get(ctx, types.NamespacedName{Name: name}, node, client.UnsafeDisableDeepCopy)
			if err != nil && !apierrors.IsNotFound(err) {
				return s, fmt.Errorf("read Node %s: %w", name, err)
			}
			s.Usable[name] = err == nil && view.NodeUsable(node)
		}
	}
	return s, nil
}

// addUnseen adds Pods that were just created and are not in the cache yet.
func (r *Reconciler) addUnseen(ctx context.Context, inst *v0.Instance, s *State, mem *memory) error {
	seen := map[types.UID]bool{}
	for i := range s.Pods {
		seen[s.Pods[i].UID] = true
	}
	for name, uid := range mem.created {
		if seen[uid] {
			delete(mem.created, name)
			continue
		}
		pod := &corev1.Pod{}
		err := r.Live.Get(ctx, types.NamespacedName{Namespace: inst.Namespace, Name: name}, pod)
		if apierrors.IsNotFound(err) || err == nil && pod.UID != uid {
			delete(mem.created, name) // deleted before we saw it
			continue
		}
		if err != nil {
			return fmt.Errorf("read Pod %s/%s: %w", inst.Namespace, name, err)
		}
		s.Pods = append(s.Pods, podFacts(pod, inst.Spec.Nodes))
	}
	return nil
}
