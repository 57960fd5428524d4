package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/poll"
)

// leaseOwner makes what owns the leader's Pod, a ReplicaSet, the owner of the
// Lease, so that the Lease is deleted when the release is uninstalled. A leader
// that ends gives the Lease back, but not at an uninstall: Helm takes its rights
// away with its Deployment. A release that is installed next would wait until
// the Lease has expired.
type leaseOwner struct {
	live       client.Reader
	client     client.Writer
	lease, pod types.NamespacedName
	log        *slog.Logger
}

// leaseRetry is the time between two attempts.
const leaseRetry = 2 * time.Second

// Start returns when the Lease has its owner.
func (o *leaseOwner) Start(ctx context.Context) error {
	err := poll.Until(ctx, "the Lease has an owner", leaseRetry, o.own)
	if err != nil && ctx.Err() == nil {
		o.log.Warn("the Lease stays after an uninstall; a new release has to wait until it has expired", "error", err)
	}
	return nil
}

// NeedLeaderElection says that only the leader does this.
func (o *leaseOwner) NeedLeaderElection() bool { return true }

func (o *leaseOwner) own(ctx context.Context) error {
	pod := &metav1.PartialObjectMetadata{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	if err := o.live.Get(ctx, o.pod, pod); err != nil {
		return final(fmt.Errorf("read the controller's Pod: %w", err))
	}
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return poll.Fatal(errors.New("the controller's Pod has no owner"))
	}
	lease := &coordinationv1.Lease{}
	if err := o.live.Get(ctx, o.lease, lease); err != nil {
		return final(fmt.Errorf("read the Lease: %w", err))
	}
	want := []metav1.OwnerReference{{APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name, UID: owner.UID}}
	if equality.Semantic.DeepEqual(lease.OwnerReferences, want) {
		return nil
	}
	lease.OwnerReferences = want
	if err := o.client.Update(ctx, lease); err != nil { // a conflict with a renewal passes
		return final(fmt.Errorf("write the Lease: %w", err))
	}
	return nil
}

// final marks an error that does not pass by itself.
func final(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return poll.Fatal(err)
	}
	return err
}
