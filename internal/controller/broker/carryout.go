package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/workload"
)

const (
	// nameTakenDelay is how long to wait when another Pod has the name.
	nameTakenDelay = time.Minute
	// cacheBehindDelay is how long to wait for the cache to catch up with the
	// API server.
	cacheBehindDelay = 100 * time.Millisecond
)

// errBehind means that a Pod has changed since the plan was made.
var errBehind = errors.New("the cache is behind")

// carryOut carries out a plan, and returns when to plan again.
func (r *Reconciler) carryOut(ctx context.Context, inst *v0.Instance, want desired, result Result, mem *memory) (time.Duration, error) {
	key := client.ObjectKeyFromObject(inst)
	for _, n := range mem.fresh(result.Notes) {
		var related *corev1.Pod
		if n.Pod != "" {
			related = podRef(key.Namespace, n.Pod, "")
		}
		r.Log.Warn("broker", "instance", key, "pod", n.Pod, "reason", n.Reason, "message", n.Message)
		r.event(inst, related, corev1.EventTypeWarning, n.Reason, "%s", n.Message)
	}
	before := mem.history
	mem.history = result.History
	again, behind := result.RequeueAfter, false
	var errs []error
	for _, a := range result.Actions {
		if a.Delete != nil {
			err := r.deletePod(ctx, key, inst, a)
			switch {
			case errors.Is(err, errBehind):
				behind = true
				mem.unfail(a.Delete, before)
			case err != nil:
				errs = append(errs, err)
			default:
				mem.deleted[a.Delete.UID] = true
			}
			continue
		}
		if behind {
			continue // its slot was to come from a Pod that stays
		}
		wait, err := r.createPod(ctx, inst, want, a, mem)
		if err != nil {
			errs = append(errs, err)
		}
		again = loop.Sooner(again, wait)
	}
	if behind {
		again = loop.Sooner(again, cacheBehindDelay)
	}
	return again, errors.Join(errs...)
}

// event records an Event about an Instance.
func (r *Reconciler) event(inst *v0.Instance, related *corev1.Pod, kind string, why Reason, note string, args ...any) {
	if related == nil { // not a nil pointer in an interface
		r.Events.Eventf(inst, nil, kind, string(why), "RunBroker", note, args...)
		return
	}
	r.Events.Eventf(inst, related, kind, string(why), "RunBroker", note, args...)
}

func podRef(namespace, name string, uid types.UID) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uid},
	}
}

// deletePod deletes exactly the Pod that the plan saw. A Pod that is not bound
// is deleted only if it is unchanged; otherwise the error is errBehind. Inst is
// nil if the Instance is gone; then there is no Event.
func (r *Reconciler) deletePod(ctx context.Context, key types.NamespacedName, inst *v0.Instance, a Action) error {
	pod := podRef(key.Namespace, a.Delete.Name, a.Delete.UID)
	only := client.Preconditions{UID: &pod.UID}
	if a.unplaced() {
		// By now it may be bound or even running: agents report a slot within
		// milliseconds, and the watches of Pods and Instances are not in step.
		only.ResourceVersion = &a.Delete.Version
	}
	err := r.Client.Delete(ctx, pod, only)
	if apierrors.IsConflict(err) && only.ResourceVersion != nil {
		return errBehind
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or replaced
	}
	if err != nil {
		return fmt.Errorf("delete broker Pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	r.Log.Info("broker Pod deleted", "instance", key, "pod", pod.Name, "node", a.Node, "reason", a.Reason, "message", a.Message)
	if inst != nil {
		r.event(inst, pod, corev1.EventTypeNormal, a.Reason, "deleted Pod %s: %s", pod.Name, a.Message)
	}
	return nil
}

// createPod creates one Pod. It returns when to try again if nothing else
// happens.
func (r *Reconciler) createPod(ctx context.Context, inst *v0.Instance, want desired, a Action, mem *memory) (time.Duration, error) {
	config := client.ObjectKeyFromObject(want.config)
	if wait := r.Refusals.try(config, want.pod.Hash, r.now()); wait > 0 {
		return wait, nil
	}
	pod, err := want.pod.Pod(inst, a.Node)
	if err != nil {
		r.refused(want.config, want.pod.Hash, fmt.Sprintf("brokerSpec.brokerPodSpec: %v", err))
		return firstDelay, nil
	}
	mem.history.record(pod)
	key, name := client.ObjectKeyFromObject(inst), pod.GetName()
	err = r.Client.Create(ctx, pod, client.FieldOwner(view.FieldManager))
	switch {
	case err == nil:
		mem.created[name] = pod.GetUID()
		mem.first.add(pod.GetUID())
		r.Refusals.accept(config, want.pod.Hash)
		r.Log.Info("broker Pod created", "instance", key, "pod", name, "node", a.Node)
		r.event(inst, podRef(key.Namespace, name, pod.GetUID()), corev1.EventTypeNormal, a.Reason, "created Pod %s %s", name, a.Message)
		return 0, nil
	case apierrors.IsAlreadyExists(err):
		return r.nameExists(ctx, inst, name, a.Node, mem)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return 0, nil // the namespace is being deleted
	case view.Temporary(err):
		return 0, fmt.Errorf("create broker Pod %s/%s: %w", key.Namespace, name, err)
	}
	r.refused(want.config, want.pod.Hash, fmt.Sprintf("create broker Pod %s: %v", name, err))
	return r.Refusals.try(config, want.pod.Hash, r.now()), nil
}

// nameExists handles a name that is taken: it finds out by what.
func (r *Reconciler) nameExists(ctx context.Context, inst *v0.Instance, name, node string, mem *memory) (time.Duration, error) {
	pod := &corev1.Pod{}
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: inst.Namespace, Name: name}, pod)
	if apierrors.IsNotFound(err) {
		return time.Millisecond, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read Pod %s/%s: %w", inst.Namespace, name, err)
	}
	ref := workload.OwnerInstance(pod)
	if ref != nil && ref.UID == inst.UID {
		mem.created[name] = pod.UID // the cache is behind
		return 0, nil
	}
	if ref != nil && ref.Name == inst.Name {
		f := podFacts(pod, inst.Spec.Nodes)
		if f.Terminating {
			return time.Second, nil
		}
		return time.Second, r.deletePod(ctx, client.ObjectKeyFromObject(inst), inst, Action{
			Node: node, Delete: &f, Reason: ReasonOldInstance, Message: "it belongs to an earlier Instance of the same name",
		})
	}
	if mem.taken != name {
		mem.taken = name
		message := fmt.Sprintf("Pod %s already exists and is not a broker: delete or rename it", name)
		r.Log.Warn("broker", "instance", client.ObjectKeyFromObject(inst), "pod", name, "reason", ReasonNameTaken, "message", message)
		r.event(inst, podRef(inst.Namespace, name, pod.UID), corev1.EventTypeWarning, ReasonNameTaken, "%s", message)
	}
	return nameTakenDelay, nil
}
