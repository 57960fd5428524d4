// Package heartbeat is the agent's sign of life: a Lease in the namespace of the
// release that it renews. The controller says of a node whose Lease is not
// renewed that its agent does not respond; nothing is deleted for that.
//
// The agent depends on none of it: without an API server, or without the right
// to write the Lease, all else goes on.
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
	// LeaseDuration is how long the Lease is good for: two renewals may be missed.
	LeaseDuration = 3 * RenewInterval
	// retryInterval is the time between tries while a renewal fails.
	retryInterval = 2 * time.Second
	// maxForbiddenInterval is the longest time between tries while it is not allowed. It
	// begins with hurry and doubles: an API server that starts forbids for a
	// moment what it allows as soon as it has read its roles.
	maxForbiddenInterval = time.Minute
)

// Options are what a heartbeat needs.
type Options struct {
	Node string
	// Namespace is that of the release.
	Namespace string
	// Apply writes the Lease; see [kubeclient.Client.ApplyLease].
	Apply func(ctx context.Context, l kubeclient.Lease, manager string) error
	// Owner is asked for what the Lease goes with: the agents' DaemonSet.
	Owner  func(ctx context.Context) ([]metav1.OwnerReference, error)
	Logger *slog.Logger
}

// Run renews the Lease until ctx is done. It is left as it is then: an agent that
// is replaced is back before it runs out.
func Run(ctx context.Context, o Options) error {
	var owners []metav1.OwnerReference
	owned := false
	trouble, pause := "", retryInterval
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
				err = fmt.Errorf("find what the Lease goes with: %w", err)
			}
			owned = err == nil
		}
		if owned {
			err = o.Apply(ctx, o.lease(owners), publish.FactsManager(o.Node))
		}
		wait := RenewInterval
		switch {
		case err == nil:
			trouble, pause = "", retryInterval
		case ctx.Err() != nil:
			return nil
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsNotFound(err):
			wait, pause = pause, min(2*pause, maxForbiddenInterval)
			if wait > RenewInterval && trouble != err.Error() {
				o.Logger.Warn("the agent cannot renew its Lease, so nobody is told when it ends; the chart's roles and policies of this release allow it", "error", err)
				trouble = err.Error()
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
