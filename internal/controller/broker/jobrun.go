package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/workload"
)

func (r *Reconciler) listJobs(ctx context.Context, key types.NamespacedName) ([]Job, error) {
	list := &batchv1.JobList{}
	if err := r.Client.List(ctx, list, client.InNamespace(key.Namespace),
		client.MatchingFields{view.ByOwnerInstance: key.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list broker Jobs of Instance %s: %w", key, err)
	}
	jobs := make([]Job, 0, len(list.Items))
	for i := range list.Items {
		j := &list.Items[i]
		facts := Job{
			Name: j.Name, UID: j.UID,
			SpecHash:    j.Annotations[v0.AnnotationSpecHash],
			Terminating: j.DeletionTimestamp != nil,
			Created:     j.CreationTimestamp.Time, Active: j.Status.Active, Over: jobOver(j),
		}
		if ref := workload.OwnerInstance(j); ref != nil {
			facts.Owner = ref.UID
		}
		jobs = append(jobs, facts)
	}
	return jobs, nil
}

// reconcileJobs does for Jobs what Reconcile does for Pods.
func (r *Reconciler) reconcileJobs(ctx context.Context, inst *v0.Instance, want desired) (time.Duration, error) {
	key := client.ObjectKeyFromObject(inst)
	jobs, err := r.listJobs(ctx, key)
	if err != nil {
		return 0, err
	}
	state := JobState{
		Instance: instanceFacts(inst), Hold: want.hold, Jobs: jobs,
		Made: inst.Annotations[AnnotationJob],
	}
	if want.job != nil {
		state.Hash = want.job.Hash
		state.Name = workload.JobName(inst.Name, want.config.Generation)
	}
	plan := PlanJobs(state)
	var errs []error
	for _, j := range plan.Delete {
		errs = append(errs, r.deleteJob(ctx, key, j))
	}
	if plan.Create {
		made, wait, err := r.createJob(ctx, inst, want)
		if err != nil || !made {
			return wait, errors.Join(append(errs, err)...)
		}
	}
	// The annotation is written after the Job is created: if we crash in
	// between, the Job is found and the annotation written then.
	if plan.Made != state.Made && !state.Instance.Deleting {
		errs = append(errs, r.recordJob(ctx, inst, plan.Made))
	}
	wait, err := r.watchJobs(ctx, inst, want, jobs)
	return wait, errors.Join(append(errs, err)...)
}

// createJob creates the Job of an Instance. It reports whether the Job exists
// now, or else when to try again.
func (r *Reconciler) createJob(ctx context.Context, inst *v0.Instance, want desired) (bool, time.Duration, error) {
	config := client.ObjectKeyFromObject(want.config)
	if wait := r.Refusals.try(config, want.job.Hash, r.now()); wait > 0 {
		return false, wait, nil
	}
	job, err := want.job.Job(inst, want.config.Generation)
	if err != nil {
		r.refused(want.config, want.job.Hash, fmt.Sprintf("brokerSpec.brokerJobSpec: %v", err))
		return false, firstDelay, nil
	}
	name := job.GetName()
	err = r.Client.Create(ctx, job, client.FieldOwner(view.FieldManager))
	switch {
	case err == nil:
		// Unless its Pods were refused: that is for watchJobs to say.
		if _, refusal := r.Refusals.Verdict(config); refusal == "" {
			r.Refusals.accept(config, want.job.Hash)
		}
		r.Log.Info("broker Job created", "instance", client.ObjectKeyFromObject(inst), "job", name)
		r.Events.Eventf(inst, jobRef(inst.Namespace, name, job.GetUID()), corev1.EventTypeNormal, "BrokerJobCreated", "RunBroker", "created Job %s", name)
		return true, 0, nil
	case apierrors.IsAlreadyExists(err):
		// If it is ours, the cache is behind and its event is on the way. If
		// not, all we can do is look again.
		return false, nameTakenDelay, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return false, 0, nil
	case view.Temporary(err):
		return false, 0, fmt.Errorf("create broker Job %s/%s: %w", inst.Namespace, name, err)
	}
	r.refused(want.config, want.job.Hash, fmt.Sprintf("create broker Job %s: %v", name, err))
	return false, r.Refusals.try(config, want.job.Hash, r.now()), nil
}

func jobRef(namespace, name string, uid types.UID) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uid},
	}
}

// deleteJobs deletes the Jobs of an Instance that is gone.
func (r *Reconciler) deleteJobs(ctx context.Context, key types.NamespacedName) error {
	jobs, err := r.listJobs(ctx, key)
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		return nil
	}
	err = r.Live.Get(ctx, key, &v0.Instance{})
	if err == nil {
		return nil // just created; its event is on the way
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("read Instance %s: %w", key, err)
	}
	var errs []error
	for _, j := range PlanJobs(JobState{Jobs: jobs}).Delete {
		errs = append(errs, r.deleteJob(ctx, key, j))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) deleteJob(ctx context.Context, key types.NamespacedName, j Job) error {
	err := r.Client.Delete(ctx, jobRef(key.Namespace, j.Name, j.UID),
		client.Preconditions{UID: &j.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete broker Job %s/%s: %w", key.Namespace, j.Name, err)
	}
	r.Log.Info("broker Job deleted", "instance", key, "job", j.Name)
	return nil
}

// recordJob writes AnnotationJob; an empty hash removes it.
func (r *Reconciler) recordJob(ctx context.Context, inst *v0.Instance, hash string) error {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(v0.GroupVersion.String())
	u.SetKind("Instance")
	u.SetNamespace(inst.Namespace)
	u.SetName(inst.Name)
	u.SetUID(inst.UID) // do not create a deleted Instance again
	if hash != "" {
		u.SetAnnotations(map[string]string{AnnotationJob: hash})
	}
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u),
		client.FieldOwner(view.FieldManager), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // deleted in the meantime
	}
	if err != nil {
		return fmt.Errorf("record Job on Instance %s/%s: %w", inst.Namespace, inst.Name, err)
	}
	return nil
}
