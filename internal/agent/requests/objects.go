package requests

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/akri-go/akri/internal/backoff"
)

// API reads what discoveryProperties refer to. Kind is Secret or ConfigMap. An
// object that does not exist is reported by found, not by an error. The data of a
// ConfigMap is its data and binaryData together; data wins.
type API interface {
	Read(ctx context.Context, kind, namespace, name string) (data map[string][]byte, found bool, err error)
	// Watch calls on with the object as it is and each time that it has
	// changed, until the watch ends.
	Watch(ctx context.Context, kind, namespace, name string, on func(data map[string][]byte, found bool)) error
}

const (
	// maxPollInterval is the longest time between two reads of an object that the
	// agent may get but not watch; half of it is the shortest.
	maxPollInterval = 60 * time.Second
	// firstRetryDelay and maxRetryDelay are how long a failed watch waits at
	// first and at most.
	firstRetryDelay, maxRetryDelay = time.Second, 15 * time.Second
	// readTimeout bounds a read.
	readTimeout = 15 * time.Second
	// maxObjects bounds how many objects are watched; each takes a stream of the
	// connection and a goroutine.
	maxObjects = 256
)

var errTooMany = fmt.Errorf("more than %d Secrets and ConfigMaps are referred to: put properties together in fewer", maxObjects)

// objectCache watches the objects that Configurations refer to. Where the agent
// may not watch, it polls them.
type objectCache struct {
	api API
	log *slog.Logger
	// changed holds one value when an object has changed.
	changed chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	watched map[Ref]*watched
}

// watched is one object of the cache.
type watched struct {
	stop   context.CancelFunc
	object Object
}

func newObjectCache(objects API, log *slog.Logger) *objectCache {
	return &objectCache{api: objects, log: log, changed: make(chan struct{}, 1), watched: map[Ref]*watched{}}
}

// want watches these objects and no others.
func (c *objectCache) want(ctx context.Context, refs map[Ref]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, f := range c.watched {
		if !refs[ref] {
			f.stop()
			delete(c.watched, ref)
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(refs), compareRefs) {
		if c.watched[ref] != nil || len(c.watched) >= maxObjects {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		f := &watched{stop: stop}
		c.watched[ref] = f
		c.running.Go(func() { c.run(ctx, ref, f) })
	}
}

// stop ends all watches. It is called when the context of want is done.
func (c *objectCache) stop() {
	c.want(context.Background(), nil)
	c.running.Wait()
}

// known returns what is known of an object that is wanted.
func (c *objectCache) known(ref Ref) Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.watched[ref]; f != nil {
		return f.object
	}
	return Object{Err: errTooMany}
}

func (c *objectCache) run(ctx context.Context, ref Ref, f *watched) {
	pauses := backoff.Backoff{First: firstRetryDelay, Max: maxRetryDelay}
	failures, polls := 0, false
	for {
		began := time.Now()
		err := c.api.Watch(ctx, ref.Kind, ref.Namespace, ref.Name, func(data map[string][]byte, found bool) {
			c.set(f, Object{Known: true, Found: found, Data: data})
		})
		forbidden := apierrors.IsForbidden(err)
		if forbidden {
			err = c.read(ctx, ref, f)
		}
		if ctx.Err() != nil {
			return
		}
		wait := pauses.Delay(failures + 1)
		switch {
		case err != nil:
			c.failed(f, err)
			failures++
		case forbidden:
			if !polls {
				c.log.Info("an object that discoveryProperties refer to is polled once or twice a minute: the agent may get it, but not watch it", "object", ref.String())
			}
			wait, failures = backoff.Jitter(maxPollInterval, 0.5), 0
		case time.Since(began) > maxRetryDelay: // watches end now and then
			wait, failures = 0, 0
		}
		polls = forbidden && err == nil
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
	}
}

func (c *objectCache) read(ctx context.Context, ref Ref, f *watched) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	data, found, err := c.api.Read(ctx, ref.Kind, ref.Namespace, ref.Name)
	if err == nil {
		c.set(f, Object{Known: true, Found: found, Data: data})
	}
	return err
}

// failed notes why an object cannot be read. While the API server is away, what
// is known of it still counts; when the agent may no longer read it, it does
// not.
func (c *objectCache) failed(f *watched, err error) {
	c.mu.Lock()
	last := f.object
	c.mu.Unlock()
	if !last.Known || apierrors.IsForbidden(err) {
		last.Err = err
		c.set(f, last)
	}
}

func (c *objectCache) set(f *watched, now Object) {
	c.mu.Lock()
	same := same(f.object, now)
	f.object = now
	c.mu.Unlock()
	if same {
		return
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func same(a, b Object) bool {
	return a.Known == b.Known && a.Found == b.Found && maps.EqualFunc(a.Data, b.Data, slices.Equal) &&
		(a.Err == nil) == (b.Err == nil) && (a.Err == nil || errors.Is(a.Err, b.Err) || a.Err.Error() == b.Err.Error())
}

func compareRefs(a, b Ref) int {
	return slices.Compare([]string{a.Namespace, a.Kind, a.Name}, []string{b.Namespace, b.Kind, b.Name})
}
