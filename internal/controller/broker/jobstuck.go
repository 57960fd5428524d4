package broker

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// jobOver reports whether a Job has ended or is suspended.
func jobOver(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuspended, batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget:
			if c.Status == corev1.ConditionTrue {
				return true
			}
		}
	}
	return false
}

// watchJobs finds out why a Job has no Pod. The API server accepts a Job whose
// Pods the namespace forbids (Pod Security, a quota). Only the Job controller
// gets the error, and reports it in Events that expire. So we create such a Pod
// in a dry run. It returns when to look again.
func (r *Reconciler) watchJobs(ctx context.Context, inst *v0.Instance, want desired, jobs []Job) (time.Duration, error) {
	if want.job == nil || want.hold {
		return 0, nil
	}
	config := client.ObjectKeyFromObject(want.config)
	for _, j := range jobs {
		if j.Owner != inst.UID || j.SpecHash != want.job.Hash {
			continue
		}
		if j.Active > 0 {
			r.Refusals.accept(config, want.job.Hash)
			return 0, nil
		}
		stuck, wait := j.stuck(r.now())
		if !stuck {
			return wait, nil
		}
		if wait := r.Refusals.look(config, want.job.Hash, r.now()); wait > 0 {
			return wait, nil
		}
		pod, err := want.job.Pod(inst)
		if err != nil {
			return 0, nil // accepted before; another generation is on the way
		}
		err = r.Client.Create(ctx, pod, client.DryRunAll, client.FieldOwner(view.FieldManager))
		switch {
		case err == nil, apierrors.IsAlreadyExists(err):
			r.Refusals.accept(config, want.job.Hash)
			return stuckCheckInterval, nil
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return 0, nil
		case view.Temporary(err):
			return 0, fmt.Errorf("try the Pod of broker Job %s/%s: %w", inst.Namespace, j.Name, err)
		}
		r.refused(want.config, want.job.Hash, fmt.Sprintf("Job %s can make no Pod: %v", j.Name, err))
		return r.Refusals.try(config, want.job.Hash, r.now()), nil
	}
	return 0, nil
}
