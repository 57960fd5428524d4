// Package heartbeat renews the agent's Lease in the namespace of the release.
// If a node's Lease is not renewed, the controller says that its agent does not
// respond; it deletes nothing because of that.
//
// The agent does not depend on the Lease: without an API server, or without the
// right to write it, the rest goes on.
package heartbeat

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/agent/publish"
)

const (
	// RenewInterval is the time between two renewals.
	RenewInterval = 10 * time.Second
	// LeaseDuration is how long the Lease is valid: two renewals may be missed.
	LeaseDuration = 3 * RenewInterval
	// retryInterval is the time between tries while a renewal fails.
	retryInterval = 2 * time.Second
	// maxForbiddenInterval is the longest time between tries while the renewal
	// is forbidden. It begins with retryInterval and doubles: an API server
	// that starts forbids for a moment what it allows once it has read its
	// roles.
	maxForbiddenInterval = time.Minute
)

// Options are what a heartbeat needs.
type Options struct {
	Node string
	// Namespace is that of the release.
	Namespace string
	// Apply writes the Lease; see [kubeclient.Client.ApplyLease].
	Apply func(ctx context.Context, l kubeclient.Lease, manager string) error
	// Owner returns the Lease's owner: the agents' DaemonSet.
	Owner  func(ctx context.Context) ([]metav1.OwnerReference, error)
	Logger *slog.Logger
}

// Run renews the Lease until ctx is done. It does not release it: an agent that
// is replaced is back before the Lease expires.
func Run(ctx context.Context, o Options) error {
	var owners []metav1.OwnerReference
	owned := false
	problem, pause := "", retryInterval
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		var err error
		if !owned {
			if owners, err = o.Owner(ctx); err != nil {
				err = fmt.Errorf("find the owner of the Lease: %w", err)
			}
			owned = err == nil
		}
		if owned {
			err = o.Apply(ctx, o.lease(owners), publish.FactsManager(o.Node))
		}
		wait := RenewInterval
		switch {
		case err == nil:
			problem, pause = "", retryInterval
		case ctx.Err() != nil:
			return nil
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsNotFound(err):
			wait, pause = pause, min(2*pause, maxForbiddenInterval)
			if wait > RenewInterval && problem != err.Error() {
				o.Logger.Warn("the agent cannot renew its Lease, so nobody notices if the agent fails; update the roles and policies with this release's chart", "error", err)
				problem = err.Error()
			}
		default:
			wait = retryInterval
			o.Logger.Debug("Lease not renewed; trying again", "error", err)
		}
		timer.Reset(wait)
	}
}

func (o Options) lease(owners []metav1.OwnerReference) kubeclient.Lease {
	return kubeclient.Lease{
		Metadata: kubeclient.LeaseMeta{
			Name: v0.AgentLease(o.Node), Namespace: o.Namespace,
			Labels:          map[string]string{v0.LabelAgentLease: "true"},
			OwnerReferences: owners,
		},
		Spec: kubeclient.LeaseSpec{
			HolderIdentity:       o.Node,
			LeaseDurationSeconds: int32(LeaseDuration / time.Second),
			RenewTime:            metav1.NewMicroTime(time.Now().UTC()),
		},
	}
}
