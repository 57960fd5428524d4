package view

import (
	"time"

	"github.com/akri-go/akri/internal/edge/metamanager/rewrite"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// heldFor is how long a Pod is known as the node has known it while the link was
// cut. When the cloud speaks again, what it says of the node's Pods is old; within
// this time the kubelet has written what is true.
const heldFor = 20 * time.Second

// pod is a Pod of this node in the store.
type pod struct {
	rewrite.Pod
	overlaid bool // the node says so, and the cloud does not know it
}

// known is what is known of a Pod.
type known struct {
	pod
	until time.Time // while it is held, which the cloud says is otherwise
}

// present decides what is known of Pods, by what was known before and what is
// stored. again is when something is no longer held, zero if nothing is.
func present(before map[rewrite.PodName]known, stored map[rewrite.PodName]pod, now time.Time) (after map[rewrite.PodName]known,
	again time.Time) {
	after = map[rewrite.PodName]known{}
	for name, p := range stored {
		k := known{pod: p}
		was, there := before[name]
		if there && was.overlaid && !p.overlaid && was.UID == p.UID && !was.Equal(p.Pod) {
			if was.until.IsZero() {
				was.until = now.Add(heldFor)
			}
			if now.Before(was.until) {
				k = was
				if again.IsZero() || k.until.Before(again) {
					again = k.until
				}
			}
		}
		after[name] = k
	}
	return after, again
}

// podsOf reads the Pods of a node.
func podsOf(objects []*store.Object) map[rewrite.PodName]pod {
	all := map[rewrite.PodName]pod{}
	for _, o := range objects {
		all[rewrite.PodName{Namespace: o.Namespace, Name: o.Name}] = pod{rewrite.PodOf(o.JSON), o.Overlaid()}
	}
	return all
}
