package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/akri-go/akri/internal/workload/health"
)

const (
	// settlePeriod is how long to wait for more changes, so that a new device
	// and its broker become one write.
	settlePeriod = time.Second
	// writesPerSecond and writeBurst limit the writes that can wait, so that a
	// thousand new devices have the API server to themselves. retryPeriod is
	// when a write that was over the limit is tried again.
	writesPerSecond, writeBurst = 50, 25
	retryPeriod                 = 500 * time.Millisecond
)

// later delays writes that can wait.
type later struct {
	limiter flowcontrol.RateLimiter
	mu      sync.Mutex
	noticed map[types.NamespacedName]time.Time
}

func (l *later) init() {
	l.limiter = flowcontrol.NewTokenBucketRateLimiter(writesPerSecond, writeBurst)
	l.noticed = map[types.NamespacedName]time.Time{}
}

// wait returns how long to delay a write; 0 is not at all.
func (l *later) wait(key types.NamespacedName, diff Diff, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff != Later {
		delete(l.noticed, key)
		return 0
	}
	since, known := l.noticed[key]
	if !known {
		l.noticed[key], since = now, now
	}
	if left := settlePeriod - now.Sub(since); left > 0 {
		return min(left, settlePeriod)
	}
	if !l.limiter.TryAccept() {
		return retryPeriod
	}
	delete(l.noticed, key)
	return 0
}

func (l *later) forget(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.noticed, key)
}

// soon requeues what belongs to an object a moment later, once for all changes
// until then: summarizing a Configuration reads everything that belongs to it.
func soon(about func(client.Object) []reconcile.Request) handler.EventHandler {
	add := func(o client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		for _, r := range about(o) {
			q.AddAfter(r, settlePeriod)
		}
	}
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(e.Object, q) },
	}
}

// fares is a summary of what a Pod's status means to conditions, for
// comparison.
func fares(o client.Object) string {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return ""
	}
	b := health.Judge(pod, false, pod.CreationTimestamp.Time)
	restarts := int32(0)
	for _, c := range pod.Status.ContainerStatuses {
		restarts += c.RestartCount
	}
	return fmt.Sprint(pod.DeletionTimestamp != nil, pod.Status.Phase, b.Health, b.Reason, b.Why, restarts, pod.Status.Conditions)
}
