package kubeclient

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	v0 "github.com/akri-go/akri/api/v0"
)

// listTimeout bounds a list, which may be long.
const listTimeout = time.Minute

// rewatch is the back-off of a broken watch. It is shorter than client-go's:
// devices that were plugged in while the API server was away should appear soon
// after.
func rewatch() *wait.Backoff {
	return &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 4 * time.Second}
}

// Observer is told of the objects of a watch. Calls do not overlap and must
// return soon. The observer owns the objects.
type Observer[T any] interface {
	// Replaced brings the complete list as of a resource version: at the
	// start, and when a watch could not be resumed.
	Replaced(all []T, resourceVersion string)
	// Changed brings a new or changed object.
	Changed(T)
	// Deleted brings the last state of an object that is gone or no longer
	// matches the selector, with the resource version of that change.
	Deleted(T)
}

// WatchInstances follows the Instances of all namespaces that a label selector
// matches until ctx is done. Each is trimmed by trim before it is kept.
func (c *Client) WatchInstances(ctx context.Context, selector string, trim func(*v0.Instance), h Observer[*v0.Instance]) {
	follow(ctx, c, v0.InstancesResource, selector, trim, h, func(meta metav1.ListMeta, items []v0.Instance) runtime.Object {
		return &v0.InstanceList{ListMeta: meta, Items: items}
	})
}

// WatchConfigurations follows the Configurations of all namespaces until ctx is
// done. It calls set with the complete list at the start and each time that a
// spec has changed. The objects are shared and must not be changed. They have
// no broker and Service specs, status and managedFields.
func (c *Client) WatchConfigurations(ctx context.Context, set func(all []*v0.Configuration)) {
	h := &configurations{set: set, all: map[types.NamespacedName]*v0.Configuration{}}
	trim := func(c *v0.Configuration) { bare(trimConfiguration(c)) }
	follow(ctx, c, v0.ConfigurationsResource, "", trim, h, func(meta metav1.ListMeta, items []v0.Configuration) runtime.Object {
		return &v0.ConfigurationList{ListMeta: meta, Items: items}
	})
}

func trimConfiguration(c *v0.Configuration) *v0.Configuration {
	c.ManagedFields = nil
	c.Spec.BrokerSpec = nil
	c.Spec.InstanceServiceSpec = nil
	c.Spec.ConfigurationServiceSpec = nil
	c.Status.Conditions = nil
	return c
}

// bare also drops the status, which grows with the number of nodes.
func bare(c *v0.Configuration) { c.Status = v0.ConfigurationStatus{} }

// configurations collects a watch into complete lists.
type configurations struct {
	set func([]*v0.Configuration)
	all map[types.NamespacedName]*v0.Configuration
}

func (h *configurations) tell() { h.set(slices.Collect(maps.Values(h.all))) }

func (h *configurations) Replaced(all []*v0.Configuration, _ string) {
	clear(h.all)
	for _, c := range all {
		h.all[nameOf(c)] = c
	}
	h.tell()
}

func (h *configurations) Changed(c *v0.Configuration) {
	old := h.all[nameOf(c)]
	h.all[nameOf(c)] = c
	if old == nil || old.UID != c.UID || old.Generation != c.Generation || old.DeletionTimestamp.IsZero() != c.DeletionTimestamp.IsZero() {
		h.tell()
	}
}

func (h *configurations) Deleted(c *v0.Configuration) {
	delete(h.all, nameOf(c))
	h.tell()
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// object is a pointer to one of the API's types.
type object[V any] interface {
	*V
	runtime.Object
	metav1.Object
}

// follow runs client-go's reflector directly on an observer, without a queue or a
// second copy of the objects. Each object is trimmed before the next one is read.
func follow[V any, T object[V]](ctx context.Context, c *Client, resource, selector string, trim func(T), h Observer[T], newList func(metav1.ListMeta, []V) runtime.Object) {
	says := &complaint{log: c.log.With("watch", resource, "selector", selector)}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = selector
			var items []V
			meta, err := list(ctx, c, resource, options, func(o T) {
				trim(o)
				items = append(items, *o)
			})
			says.about(ctx, err)
			return newList(meta, items), err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector, options.Watch = selector, true
			w, err := c.rest.Get().Resource(resource).VersionedParams(&options, c.params).Watch(ctx)
			says.about(ctx, err)
			return w, err
		},
	}
	// The reflector logs a lot while the server is away; complaint logs it once.
	quiet := logr.Discard()
	r := cache.NewReflectorWithOptions(lw, T(new(V)), &sink[V, T]{observer: h, trim: trim},
		cache.ReflectorOptions{Name: resource, Logger: &quiet, Backoff: rewatch()})
	r.RunWithContext(klog.NewContext(ctx, quiet))
}

// sink is the store that a reflector writes to.
type sink[V any, T object[V]] struct {
	observer Observer[T]
	trim     func(T)
}

func (s *sink[V, T]) take(o any) (T, bool) {
	t, ok := o.(T)
	if ok {
		s.trim(t)
	}
	return t, ok
}

func (s *sink[V, T]) Add(o any) error { return s.Update(o) }

func (s *sink[V, T]) Update(o any) error {
	if t, ok := s.take(o); ok {
		s.observer.Changed(t)
	}
	return nil
}

func (s *sink[V, T]) Delete(o any) error {
	if t, ok := s.take(o); ok {
		s.observer.Deleted(t)
	}
	return nil
}

func (s *sink[V, T]) Replace(objects []any, resourceVersion string) error {
	all := make([]T, 0, len(objects))
	for _, o := range objects {
		if t, ok := s.take(o); ok {
			all = append(all, t)
		}
	}
	s.observer.Replaced(all, resourceVersion)
	return nil
}

func (s *sink[V, T]) Resync() error { return nil }

// Transformer trims objects as they stream in at the start of a watch.
func (s *sink[V, T]) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		s.take(o)
		return o, nil
	}
}

// complaint logs the errors of a watch: each once until it changes or ends.
type complaint struct {
	log  *slog.Logger
	mu   sync.Mutex
	last string
}

func (s *complaint) about(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err == nil && s.last != "":
		s.last = ""
		s.log.Info("watch is back")
	case err != nil:
		// The address of each try differs, by its timeout.
		if refused := (*url.Error)(nil); errors.As(err, &refused) {
			err = refused.Err
		}
		if err.Error() != s.last {
			s.last = err.Error()
			s.log.Warn("cannot watch; trying again", "error", err)
		}
	}
}
