package publish

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// newQueue returns a queue in which urgent names, for which a container waits,
// come before the others. Each kind is in its order.
func newQueue(urgent func(types.NamespacedName) bool) workqueue.TypedDelayingInterface[types.NamespacedName] {
	return workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[types.NamespacedName]{
		Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[types.NamespacedName]{
			Queue: &lanes{urgent: urgent},
		}),
	})
}

// lanes implements workqueue.Queue. The caller synchronises.
type lanes struct {
	urgent      func(types.NamespacedName) bool
	first, rest []types.NamespacedName
}

// Touch implements workqueue.Queue: a name in the queue was added again.
func (l *lanes) Touch(name types.NamespacedName) {
	if !l.urgent(name) {
		return
	}
	if at := slices.Index(l.rest, name); at >= 0 {
		l.rest = slices.Delete(l.rest, at, at+1)
		l.first = append(l.first, name)
	}
}

// Push implements workqueue.Queue.
func (l *lanes) Push(name types.NamespacedName) {
	if l.urgent(name) {
		l.first = append(l.first, name)
	} else {
		l.rest = append(l.rest, name)
	}
}

// Len implements workqueue.Queue.
func (l *lanes) Len() int { return len(l.first) + len(l.rest) }

// Pop implements workqueue.Queue.
func (l *lanes) Pop() types.NamespacedName {
	from := &l.first
	if len(*from) == 0 {
		from = &l.rest
	}
	name := (*from)[0]
	(*from)[0] = types.NamespacedName{}
	*from = (*from)[1:]
	return name
}
