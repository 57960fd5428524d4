package follow

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/explain/snapshot"
)

// ask asks the API server for a part, within options of its own.
type ask func(...client.ListOption) error

// listWatch asks for the objects of a part, and notes what comes of it.
func (f *Follower) listWatch(p *part) cache.ListerWatcher {
	options := func(o metav1.ListOptions, more []client.ListOption) []client.ListOption {
		list := append([]client.ListOption{&client.ListOptions{Raw: &o, Limit: o.Limit, Continue: o.Continue}},
			p.Options...)
		return append(list, more...)
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list := p.List()
			err := f.begin(ctx, p, func(more ...client.ListOption) error {
				return f.api.List(ctx, list, options(o, more)...)
			})
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (w watch.Interface, err error) {
			request := f.again
			if o.SendInitialEvents != nil && *o.SendInitialEvents { // in place of a list
				request = f.begin
			}
			err = request(ctx, p, func(more ...client.ListOption) (err error) {
				w, err = f.api.Watch(ctx, p.List(), options(o, more)...)
				return err
			})
			if err == nil {
				f.mu.Lock()
				p.watches++
				f.mu.Unlock()
			}
			return w, err
		},
	}
}

// begin asks for the objects that there are: of all namespaces or, if the user may
// not read these, of the Follower's.
func (f *Follower) begin(ctx context.Context, p *part, do ask) error {
	var refusal error
	err := do()
	if f.namespace != "" && p.Namespaced() && forbidden(err) {
		if within := do(client.InNamespace(f.namespace)); !forbidden(within) {
			refusal, err = err, within
		}
	}
	f.note(ctx, p, refusal, err)
	return err
}

// again asks for what follows on what there was: where that was read.
func (f *Follower) again(ctx context.Context, p *part, do ask) error {
	f.mu.Lock()
	refusal := p.refusal
	f.mu.Unlock()
	var err error
	if refusal != nil {
		err = do(client.InNamespace(f.namespace))
	} else {
		err = do()
	}
	f.note(ctx, p, refusal, err)
	return err
}

// note notes what a request for a part came to.
func (f *Follower) note(ctx context.Context, p *part, refusal, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // it is ending, or begins again with a list
	}
	f.mu.Lock()
	before := p.sight()
	p.tried, p.err, p.refusal = true, err, refusal
	now, unseen := p.sight(), p.unseen(f.namespace)
	var why error
	for _, other := range f.parts {
		if other.err != nil && !forbidden(other.err) && !meta.IsNoMatchError(other.err) {
			why = fmt.Errorf("%s: %w", other.What, other.err)
			break
		}
	}
	changed := f.away.is(why, f.now()) || before != now
	f.mu.Unlock()
	f.problem.Is(f.log, why)
	if before != now && unseen != "" {
		f.log.Warn("not all can be shown", "kind", p.What, "why", unseen)
	}
	if changed {
		f.poke(nil)
	}
}

// sight is how much of a part the user may see.
type sight int

const (
	seesAll sight = iota
	seesOneNamespace
	seesNothing
)

// sight is called with the Follower locked.
func (p *part) sight() sight {
	switch {
	case forbidden(p.err):
		return seesNothing
	case p.refusal != nil:
		return seesOneNamespace
	}
	return seesAll
}

// unseen says why not all of a part is seen, "" if it is. It is called with the
// Follower locked.
func (p *part) unseen(namespace string) string {
	switch p.sight() {
	case seesNothing:
		return snapshot.Refusal(p.err)
	case seesOneNamespace:
		return snapshot.OnlyIn(namespace, p.refusal)
	}
	return ""
}

// forbidden reports whether the API server refused a request because of missing
// rights.
func forbidden(err error) bool { return err != nil && apierrors.IsForbidden(err) }

// Kinds returns the kinds of objects that are watched.
func (f *Follower) Kinds() []string {
	var kinds []string
	for _, p := range f.parts {
		if !slices.Contains(kinds, p.What) {
			kinds = append(kinds, p.What)
		}
	}
	return kinds
}

// Watches returns how many watches of a kind have begun.
func (f *Follower) Watches(kind string) (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		if p.What == kind {
			n += p.watches
		}
	}
	return n
}

// Reachable reports whether the API server answers.
func (f *Follower) Reachable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away.why == nil
}
