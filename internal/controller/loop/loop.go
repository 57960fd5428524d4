// Package loop is what the reconcilers of the controller have in common: how a
// manager runs them, and how changes of objects become requests.
//
// A loop is one reconciler with what wakes it. It works on several requests at a
// time, never on the same one twice, and tries a request that failed again after
// a delay that doubles.
package loop

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// timeout is how long one request may take.
	timeout = time.Minute
	// lastRetry is the longest time after which a request that failed is tried
	// again.
	lastRetry = 30 * time.Second
)

// Loop is one control loop.
type Loop struct {
	// Name is unique in the controller; it is in logs and metrics.
	Name string
	// Workers is how many requests are worked on at a time.
	Workers int
	// FirstRetry is when a request that failed for the first time is tried again.
	FirstRetry time.Duration
	// Watch says what wakes the loop.
	Watch      func(*builder.Builder)
	Reconciler reconcile.Reconciler
}

// AddTo has a manager run the loop once this replica is elected.
func (l Loop) AddTo(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).Named(l.Name).WithOptions(controller.Options{
		MaxConcurrentReconciles: l.Workers,
		ReconciliationTimeout:   timeout,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](l.FirstRetry, lastRetry),
		NewQueue:                quietQueue,
	})
	l.Watch(b)
	if err := b.Complete(l.Reconciler); err != nil {
		return fmt.Errorf("set up the control loop %s: %w", l.Name, err)
	}
	return nil
}

// quietQueue is the queue that a controller has by default, without metrics: a
// queue with metrics wakes up twice a second to bring them up to date, which was
// most of the CPU time of a controller that had nothing to do.
func quietQueue(
	_ string, limiter workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	const withoutMetrics = "" // the queue's name in metrics
	return priorityqueue.New(withoutMetrics, func(o *priorityqueue.Opts[reconcile.Request]) {
		o.RateLimiter = limiter
	})
}

// Recorder makes Events; the manager's recorder is one.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Sooner returns the shorter of two waits, of which 0 means none.
func Sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
