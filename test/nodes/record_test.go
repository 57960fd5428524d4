//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/test/testcluster"
)

// record follows the Instances and Pods of a namespace, and the nodes, by
// watches: it sees each version of them, so even what is true only for a
// moment.
type record struct {
	t  *testing.T
	ns string

	mu        sync.Mutex
	instances map[string]*v0.Instance
	pods      map[types.UID]*corev1.Pod
	nodes     map[string]*corev1.Node
	// made are the UIDs of all Instances and Pods that there ever were, by
	// Configuration or, for Pods that are not brokers, by the label user.
	made map[string]map[types.UID]bool
	// ran are those of made that are more than a try: Instances, and Pods that
	// were ready.
	ran map[string]map[types.UID]bool
	// most is how many slots of an Instance were held at once.
	most map[string]int
	// rules are checked at each change; broken has the first complaint.
	rules   []*look
	broken  error
	changed chan struct{} // closed at the next change
}

// follow starts a record that ends with the test.
func follow(t *testing.T, ns string) *record {
	t.Helper()
	r := &record{
		t: t, ns: ns,
		instances: map[string]*v0.Instance{}, pods: map[types.UID]*corev1.Pod{}, nodes: map[string]*corev1.Node{},
		made: map[string]map[types.UID]bool{}, ran: map[string]map[types.UID]bool{}, most: map[string]int{}, changed: make(chan struct{}),
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	for list, in := range map[client.ObjectList]string{&v0.InstanceList{}: ns, &corev1.PodList{}: ns, &corev1.NodeList{}: ""} {
		events, err := r.begin(ctx, list, in)
		if err != nil {
			t.Fatalf("follow %T: %v", list, err)
		}
		wg.Go(func() {
			for e := range events {
				r.take(e)
			}
			if ctx.Err() == nil {
				r.fault(fmt.Errorf("the watch of %T ended", list))
			}
		})
	}
	return r
}

// begin records what exists, and returns what comes after it. A watch that the
// API server closes is resumed where it ended, so that no version is missed; if
// that fails, the last event is an error.
func (r *record) begin(ctx context.Context, list client.ObjectList, ns string) (<-chan watch.Event, error) {
	if err := api.List(ctx, list, client.InNamespace(ns)); err != nil {
		return nil, err
	}
	now, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	for _, o := range now {
		r.take(watch.Event{Type: watch.Added, Object: o})
	}
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), watcher{list, ns})
	if err != nil {
		return nil, err
	}
	return w.ResultChan(), nil
}

// watcher watches the objects of a list's kind.
type watcher struct {
	list client.ObjectList
	ns   string
}

func (w watcher) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return api.Watch(ctx, w.list.DeepCopyObject().(client.ObjectList), &client.ListOptions{Namespace: w.ns, Raw: &o})
}

func (r *record) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complain(err)
}

func (r *record) complain(err error) {
	if r.broken == nil {
		r.broken = err
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// take records an event.
func (r *record) take(e watch.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := e.Type != watch.Deleted
	switch o := e.Object.(type) {
	case *v0.Instance:
		put(r.instances, o.Name, o, there)
		enter(r.made, o.Spec.ConfigurationName, o.UID)
		enter(r.ran, o.Spec.ConfigurationName, o.UID)
		r.most[o.Name] = max(r.most[o.Name], len(held(o)))
	case *corev1.Pod:
		put(r.pods, o.UID, o, there)
		enter(r.made, user(o), o.UID)
		if testcluster.IsReady(o) {
			enter(r.ran, user(o), o.UID)
		}
	case *corev1.Node:
		put(r.nodes, o.Name, o, there)
	default:
		r.complain(fmt.Errorf("watch: %v", e.Object))
		return
	}
	var err error
	for _, rule := range r.rules {
		if err == nil {
			err = (*rule)()
		}
	}
	r.complain(err)
}

func put[K comparable, V any](m map[K]V, key K, value V, there bool) {
	if there {
		m[key] = value
	} else {
		delete(m, key)
	}
}

func enter(into map[string]map[types.UID]bool, of string, uid types.UID) {
	if into[of] == nil {
		into[of] = map[types.UID]bool{}
	}
	into[of][uid] = true
}

// A look complains about the present state. It is called while nothing changes.
type look func() error

// await waits until all looks are satisfied at the same moment.
func (r *record) await(within time.Duration, looks ...look) {
	r.t.Helper()
	end := time.NewTimer(within)
	defer end.Stop()
	began, last := time.Now(), ""
	for {
		r.mu.Lock()
		err, changed, broken := first(looks), r.changed, r.broken
		r.mu.Unlock()
		switch {
		case broken != nil:
			r.t.Fatal(broken)
		case err == nil:
			eventually.Tell(r.t, began, last)
			return
		}
		last = err.Error()
		select {
		case <-changed:
		case <-end.C:
			r.t.Fatalf("after %v: %v", within, err)
		}
	}
}

// throughout fails the test if a look complains of any version within a time.
func (r *record) throughout(length time.Duration, looks ...look) {
	r.t.Helper()
	defer eventually.Tell(r.t, time.Now(), "nothing changes for a while")
	defer r.always(looks...)()
	end := time.NewTimer(length)
	defer end.Stop()
	for {
		r.mu.Lock()
		changed, broken := r.changed, r.broken
		r.mu.Unlock()
		if broken != nil {
			r.t.Fatalf("within %v: %v", length, broken)
		}
		select {
		case <-changed:
		case <-end.C:
			return
		}
	}
}

// always makes rules of looks: no version may break them until the returned
// function is called. The next wait reports violations.
func (r *record) always(looks ...look) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complain(first(looks))
	rule := new(look)
	*rule = func() error { return first(looks) }
	r.rules = append(r.rules, rule)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rules = slices.DeleteFunc(r.rules, func(other *look) bool { return other == rule })
	}
}

func first(looks []look) error {
	for _, l := range looks {
		if err := l(); err != nil {
			return err
		}
	}
	return nil
}

// read calls f while nothing changes.
func (r *record) read(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}
