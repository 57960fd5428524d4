// Package loop is what the controller's reconcilers have in common: how a
// manager runs them, and how changes of objects become requests.
//
// A loop is one reconciler with its watches. It works on several requests at a
// time, but never twice on the same one. A request that failed is retried with
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
	// requestTimeout bounds the work on one request.
	requestTimeout = time.Minute
	// maxRetryDelay is the longest delay between two retries.
	maxRetryDelay = 30 * time.Second
)

// Loop is one control loop.
type Loop struct {
	// Name is unique in the controller; it appears in logs and metrics.
	Name string
	// Workers is how many requests are worked on at a time.
	Workers int
	// FirstRetryDelay is the delay before the first retry.
	FirstRetryDelay time.Duration
	// Watch adds the watches that trigger the loop.
	Watch      func(*builder.Builder)
	Reconciler reconcile.Reconciler
}

// AddTo adds the loop to a manager, which runs it while it is the leader.
func (l Loop) AddTo(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).Named(l.Name).WithOptions(controller.Options{
		MaxConcurrentReconciles: l.Workers,
		ReconciliationTimeout:   requestTimeout,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](l.FirstRetryDelay, maxRetryDelay),
		NewQueue:                quietQueue,
	})
	l.Watch(b)
	if err := b.Complete(l.Reconciler); err != nil {
		return fmt.Errorf("set up the control loop %s: %w", l.Name, err)
	}
	return nil
}

// quietQueue is the default queue of a controller, without metrics. A queue with
// metrics wakes up twice a second to update them, which took most of the CPU time
// of an idle controller.
func quietQueue(
	_ string, limiter workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	const withoutMetrics = "" // the queue's name in metrics
	return priorityqueue.New(withoutMetrics, func(o *priorityqueue.Opts[reconcile.Request]) {
		o.RateLimiter = limiter
	})
}

// Recorder creates Events; the manager\'s recorder is one.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Sooner returns the shorter of two delays, where 0 means none.
func Sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
