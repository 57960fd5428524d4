package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/explain/snapshot"
	"github.com/akri-go/akri/internal/logging"
)

// Follower watches a cluster.
type Follower struct {
	api       client.WithWatch
	now       func() time.Time
	namespace string
	log       *slog.Logger
	parts     []*part
	changed   chan struct{}
	problem   logging.Problem

	mu   sync.Mutex
	away away
}

// part is a source with its cache. What is below the informer is guarded by the
// Follower.
type part struct {
	snapshot.Source
	informer cache.SharedInformer
	// tried means that the API server was asked, and err is what it said last.
	tried bool
	err   error
	// refusal is why only the objects of the Follower's namespace are followed, nil if
	// those of all are.
	refusal error
	watches uint64 // that have begun
}

// Seen is what is known of a cluster.
type Seen struct {
	explain.Cluster
	// AwaySince is not zero while the API server does not answer, and AwayWhy is the
	// error.
	AwaySince time.Time
	AwayWhy   string
}

// New returns a Follower; client and clock are those of [snapshot.Client]. Of what the
// user may not read in all namespaces, the objects of the one that is given are
// followed; it may be "".
func New(api client.WithWatch, now func() time.Time, namespace string, log *slog.Logger) (*Follower, error) {
	f := &Follower{api: api, now: now, namespace: namespace, log: log, changed: make(chan struct{}, 1),
		problem: logging.Problem{What: "cannot watch the cluster, so what is shown is out of date"}}
	for _, s := range snapshot.Sources(explain.Subject{}) {
		p := &part{Source: s}
		p.informer = cache.NewSharedInformer(f.listWatch(p), s.New(), 0)
		err := errors.Join(
			p.informer.SetTransform(p.transform),
			// Errors are noted where they occur; not all come here.
			p.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}))
		if err == nil && s.What != explain.ReadLeases { // agents renew them all the time
			_, err = p.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc:    func(o any) { f.poke(o) },
				UpdateFunc: func(_, o any) { f.poke(o) },
				DeleteFunc: func(o any) { f.poke(o) },
			})
		}
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", s.What, err)
		}
		f.parts = append(f.parts, p)
	}
	return f, nil
}

// Run watches until ctx is done.
func (f *Follower) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, p := range f.parts {
		group.Go(func() { p.informer.RunWithContext(ctx) })
		group.Go(func() { // there may be no object, and so no event
			if cache.WaitForCacheSync(ctx.Done(), p.informer.HasSynced) {
				f.poke(nil)
			}
		})
	}
	group.Wait()
}

// Changed has something in it when Seen may have changed.
func (f *Follower) Changed() <-chan struct{} { return f.changed }

func (f *Follower) poke(o any) {
	if _, stub := o.(*metav1.PartialObjectMetadata); stub {
		return
	}
	select {
	case f.changed <- struct{}{}:
	default: // it is not taken notice of yet
	}
}

// Ready returns why not all is known yet, nil if it is.
func (f *Follower) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		switch {
		case p.informer.HasSynced(), p.tried && (forbidden(p.err) || meta.IsNoMatchError(p.err)):
		case p.err != nil:
			return fmt.Errorf("list %s: %w", p.What, p.err)
		default:
			return fmt.Errorf("%s are not listed yet", p.What)
		}
	}
	return nil
}

// Seen returns what is known now.
func (f *Follower) Seen() Seen {
	var seen Seen
	for _, p := range f.parts {
		var objects []client.Object
		for _, o := range p.informer.GetStore().List() {
			object, ok := o.(client.Object)
			if _, stub := o.(*metav1.PartialObjectMetadata); ok && !stub {
				objects = append(objects, object)
			}
		}
		slices.SortFunc(objects, func(a, b client.Object) int {
			return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
		})
		for _, o := range objects {
			p.Add(&seen.Cluster, o)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		why := p.unseen(f.namespace)
		if why == "" {
			continue
		}
		u := explain.Unseen{What: p.What, Why: why}
		if !slices.Contains(seen.Unseen, u) {
			seen.Unseen = append(seen.Unseen, u)
		}
	}
	seen.Now = f.away.clock(f.now())
	if f.away.why != nil {
		seen.AwaySince, seen.AwayWhy = f.away.since, f.away.why.Error()
	}
	return seen
}

// transform keeps what matters of an object, and of others only the name.
func (p *part) transform(o any) (any, error) {
	object, ok := o.(client.Object)
	if _, stub := o.(*metav1.PartialObjectMetadata); !ok || stub {
		return o, nil
	}
	if kept := p.Keep(object); kept != nil {
		return kept, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
		ResourceVersion: object.GetResourceVersion(),
	}}, nil
}
