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
)

const (
	// settling is how long what can wait waits for more of its kind, so that a
	// device that comes and the broker that takes it are one write.
	settling = time.Second
	// perSecond and burst bound the writes of what can wait: a thousand devices
	// that come at once have better use for the API server.
	perSecond, burst = 50, 25
	turn             = 500 * time.Millisecond
)

// later holds back writes that can wait.
type later struct {
	limiter flowcontrol.RateLimiter
	mu      sync.Mutex
	noticed map[types.NamespacedName]time.Time
}

func (l *later) init() {
	l.limiter = flowcontrol.NewTokenBucketRateLimiter(perSecond, burst)
	l.noticed = map[types.NamespacedName]time.Time{}
}

// wait returns how long a write has to wait; 0 is not at all.
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
	if left := settling - now.Sub(since); left > 0 {
		return min(left, settling)
	}
	if !l.limiter.TryAccept() {
		return turn
	}
	delete(l.noticed, key)
	return 0
}

func (l *later) forget(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.noticed, key)
}

// soon has what is about an object looked at a moment later, once for all that
// happens until then: summing up a Configuration reads all that is of it.
func soon(about func(client.Object) []reconcile.Request) handler.EventHandler {
	add := func(o client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		for _, r := range about(o) {
			q.AddAfter(r, settling)
		}
	}
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(e.Object, q) },
	}
}

// fares tells apart how Pods fare.
func fares(o client.Object) string {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return ""
	}
	b := Judge(pod, false, pod.CreationTimestamp.Time)
	restarts := int32(0)
	for _, c := range pod.Status.ContainerStatuses {
		restarts += c.RestartCount
	}
	return fmt.Sprint(pod.DeletionTimestamp != nil, pod.Status.Phase, b.Health, b.Reason, b.Why, restarts, pod.Status.Conditions)
}
