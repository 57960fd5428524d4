package controller

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// LeaseName is the name of the Lease that the leader holds.
const LeaseName = "akri-controller"

// DefaultLeaseDuration is how long a leader that no longer renews its Lease
// keeps it. It is twice the library's default: a leader on a lost node is
// replaced 15 s later, but an idle one writes 12 times a minute instead of 30.
// A replica that ends releases the Lease, and one whose container restarts
// continues at once.
const DefaultLeaseDuration = 30 * time.Second

// renewal returns after how long a leader that cannot renew its Lease gives up,
// and how often it tries, in the library's proportions. The deadline must be so
// much shorter than the Lease that there are never two leaders.
func renewal(lease time.Duration) (deadline, retry time.Duration) {
	return lease * 2 / 3, lease / 6
}

// Pod identifies the Pod that a controller runs in.
type Pod struct {
	Name string
	UID  types.UID
}

// newLock returns the lock of leader election for a replica in a Pod.
//
// The Lease is owned by the Pod: when the Pod is gone, the garbage collector
// deletes the Lease. The replica cannot always release it: an uninstall removes
// its rights before it ends, and a new install would wait for a leader that no
// longer exists. The holder is the Pod's name, so that a container that
// restarts need not wait for itself.
func newLock(cfg *rest.Config, namespace string, pod Pod, deadline time.Duration) (resourcelock.Interface, error) {
	cfg = rest.AddUserAgent(rest.CopyConfig(cfg), "leader-election")
	cfg.Timeout = max(deadline/2, time.Second) // one hanging request must not cost the Lease
	client, err := coordinationclient.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up leader election: %w", err)
	}
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: LeaseName},
		Client:     ownedLeases{client, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}},
		LockConfig: resourcelock.ResourceLockConfig{Identity: pod.Name},
	}, nil
}

// ownedLeases sets an owner on Leases that are written.
type ownedLeases struct {
	coordinationclient.LeasesGetter
	owner metav1.OwnerReference
}

func (o ownedLeases) Leases(namespace string) coordinationclient.LeaseInterface {
	return ownedLease{o.LeasesGetter.Leases(namespace), o.owner}
}

type ownedLease struct {
	coordinationclient.LeaseInterface
	owner metav1.OwnerReference
}

func (o ownedLease) Create(ctx context.Context, lease *coordinationv1.Lease, opts metav1.CreateOptions) (*coordinationv1.Lease, error) {
	lease.OwnerReferences = []metav1.OwnerReference{o.owner}
	return o.LeaseInterface.Create(ctx, lease, opts)
}

func (o ownedLease) Update(ctx context.Context, lease *coordinationv1.Lease, opts metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	lease.OwnerReferences = []metav1.OwnerReference{o.owner}
	return o.LeaseInterface.Update(ctx, lease, opts)
}
