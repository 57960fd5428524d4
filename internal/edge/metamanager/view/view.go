// Package view is what the clients of the local API see of the store: package
// rewrite, with the neighbours and the Pods that the node has at present.
//
// Who they are the Nodes' labels say. Which site this node is of its own Node
// tells, which every edge node follows. The other Nodes of the site are followed
// as kube-proxy does it on each node of a cluster, by their label: a node itself
// may see no other. Both are in the store, so neighbours are known while the link
// is cut. A node without a site follows no other Node.
package view

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/rewrite"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

const (
	// wantTimeout bounds one try to have the Nodes of the site followed, and
	// retryInterval is how long the next one waits.
	wantTimeout   = 20 * time.Second
	retryInterval = time.Minute
)

var pods = store.Resource{Version: "v1", Name: "pods"}

func keyOf(k store.Key) rewrite.Key {
	return rewrite.Key{Resource: rewrite.Resource(k.Resource), Namespace: k.Namespace, Name: k.Name}
}

// Options are the settings of a view.
type Options struct {
	// Rules are what does not change; their neighbours and Pods do not count.
	Rules rewrite.Rules
	Store *store.Store
	// Want has an interest followed, and returns when it is synced.
	Want func(context.Context, edgev1.Interest) error
	// As is who may see other Nodes.
	As  edgev1.As
	Log *slog.Logger
}

// View is safe for use by several goroutines.
type View struct {
	Options
	known map[rewrite.PodName]known // of Run

	mu    sync.RWMutex
	rules rewrite.Rules
}

// New returns a view with the neighbours and Pods that are stored. [View.Run]
// keeps them current.
func New(o Options) *View {
	v := &View{Options: o, rules: o.Rules}
	v.look(v.nodesOf(v.site()), time.Now())
	return v
}

// Show returns how an object's JSON is seen, and whether that is not how the
// cluster has it.
func (v *View) Show(key store.Key, object []byte) (shown []byte, differs bool) {
	v.mu.RLock()
	r := v.rules
	v.mu.RUnlock()
	return r.Show(keyOf(key), object)
}

// Run follows the node's site and its Pods until ctx is done.
func (v *View) Run(ctx context.Context) {
	var following edgev1.Interest // of the site's Nodes
	retry := time.NewTimer(0)
	defer retry.Stop()
	held := time.NewTimer(time.Hour) // nothing is held
	defer held.Stop()
	for ctx.Err() == nil {
		node, pod := v.Store.Changed(store.Nodes), v.Store.Changed(pods)
		what := v.nodesOf(v.site())
		if what != following {
			v.Store.Drop(following) // none at first
			following = what
			retry.Reset(0)
		}
		if again := v.look(what, time.Now()); !again.IsZero() {
			held.Reset(time.Until(again))
		}
		select {
		case <-ctx.Done():
		case <-node:
		case <-pod:
		case <-held.C:
		case <-retry.C:
			v.follow(ctx, what)
			retry.Reset(retryInterval)
		}
	}
}

// site is that of this node's own Node.
func (v *View) site() string {
	own := v.Store.Get(store.Key{Resource: store.Nodes, Name: v.Rules.Node})
	if own == nil {
		return ""
	}
	return rewrite.SiteOf(own.JSON)
}

// nodesOf is the interest in the Nodes of a site; none for "".
func (v *View) nodesOf(site string) edgev1.Interest {
	if site == "" {
		return edgev1.Interest{}
	}
	return edgev1.Interest{
		Version: store.Nodes.Version, Resource: store.Nodes.Name, As: v.As,
		LabelSelector: labels.Set{edgev1.SiteLabel: site}.String(),
	}
}

// follow has the site's Nodes followed, unless they are.
func (v *View) follow(ctx context.Context, what edgev1.Interest) {
	if what == (edgev1.Interest{}) || v.Store.Synced(what) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wantTimeout)
	defer cancel()
	if err := v.Want(ctx, what); err != nil {
		v.Log.Warn("the Nodes of this node's site are not known yet", "labels", what.LabelSelector, "error", err)
	}
}

// neighbours are the Nodes of an interest but this one.
func (v *View) neighbours(what edgev1.Interest) map[string]bool {
	all, err := v.Store.Peek(what)
	if err != nil {
		return nil // never synced: alone until then
	}
	others := map[string]bool{}
	for _, o := range all {
		if o.Name != v.Rules.Node {
			others[o.Name] = true
		}
	}
	return others
}

// look has what is seen follow from what is stored now: the Nodes of the site, and
// this node's Pods. again is when it changes without that.
func (v *View) look(site edgev1.Interest, now time.Time) (again time.Time) {
	own, err := v.Store.Peek(edgev1.Interest{Version: pods.Version, Resource: pods.Name, FieldSelector: "spec.nodeName=" + v.Rules.Node})
	if err != nil {
		own = nil // never synced: what the cloud says of them counts
	}
	v.known, again = present(v.known, podsOf(own), now)
	next := v.Rules
	next.Neighbours, next.Pods = v.neighbours(site), map[rewrite.PodName]rewrite.Pod{}
	for name, k := range v.known {
		next.Pods[name] = k.Pod
	}
	v.set(next)
	return again
}

// set changes the rules. Clients are told of what they see otherwise then.
func (v *View) set(next rewrite.Rules) {
	v.mu.Lock()
	before := v.rules
	v.rules = next
	v.mu.Unlock()
	if maps.Equal(before.Neighbours, next.Neighbours) && maps.EqualFunc(before.Pods, next.Pods, rewrite.Pod.Equal) {
		return
	}
	for _, r := range []rewrite.Resource{rewrite.EndpointSlices, rewrite.Endpoints} {
		v.Store.Touch(store.Resource(r), func(o *store.Object) bool {
			was, _ := before.Show(keyOf(o.Key), o.JSON)
			is, _ := next.Show(keyOf(o.Key), o.JSON)
			return string(was) != string(is)
		})
	}
}
