package edgecontroller

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/grant"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/leases"
	"github.com/akri-go/akri/internal/logging"
)

const (
	// So many grants and calls are under way at a time, of all nodes and of one.
	// Whoever has waited longest comes first, and no node can wait with more than
	// it may have, so that none is kept out by another.
	maxGrants, maxGrantsPerNode = 64, 4
	maxCalls, maxCallsPerNode   = 256, 16
	// reviewInterval is how often it is looked at whether sessions may still have
	// what they follow.
	reviewInterval = 30 * time.Second
)

// Options say what a controller works with.
type Options struct {
	Client *kube.Client
	Log    *slog.Logger
	// MaxObjects, MaxWatches and CacheBytes bound the index; 0 are its own
	// defaults.
	MaxObjects, CacheBytes int64
	MaxWatches             int
	// LeaseInterval is the time between two renewals of a node's Lease; 0:
	// [leases.RenewInterval].
	LeaseInterval time.Duration
	// Autonomy takes tolerationSeconds off the Pods of edge nodes.
	Autonomy bool
	// Registerer, if not nil, gets the controller's metrics.
	Registerer prometheus.Registerer

	// For tests; 0 are the defaults.
	grants         grant.Options
	linger         time.Duration
	patience       time.Duration
	reviewInterval time.Duration
	maxDirty       int
}

// Controller is what the sessions of all edge nodes have in common.
type Controller struct {
	Options
	index                   *index.Index
	grants                  *grant.Grants
	leases                  *leases.Keeper
	keeper                  *keeper
	metrics                 *metrics
	grantRoom, callRoom     *semaphore.Weighted
	complaints              logging.Sparing
	pods, nodes, namespaces *index.Subscription
	seed                    maphash.Seed
	sites                   sites
	notices                 chan notice
	limited                 atomic.Bool // see limits.go

	mu       sync.Mutex
	sessions map[string]map[*Session]struct{} // by node
}

var _ cloudhub.Controller = (*Controller)(nil)

// New returns a controller; see [Controller.Run].
func New(o Options) (*Controller, error) {
	if o.reviewInterval == 0 {
		o.reviewInterval = reviewInterval
	}
	if o.maxDirty == 0 {
		o.maxDirty = maxDirty
	}
	c := &Controller{
		Options:   o,
		grantRoom: semaphore.NewWeighted(maxGrants), callRoom: semaphore.NewWeighted(maxCalls),
		sessions: map[string]map[*Session]struct{}{}, seed: maphash.MakeSeed(), notices: make(chan notice, maxNotices),
	}
	c.index = index.New(index.Options{
		Client: o.Client, Logger: o.Log, Own: own(), MaxObjects: o.MaxObjects, CacheBytes: o.CacheBytes, MaxFeeds: o.MaxWatches,
		Linger: o.linger, Patience: o.patience, Reach: c.sites.reach,
	})
	o.grants.Client = o.Client
	c.grants = grant.New(o.grants)
	var err error
	if c.metrics, err = newMetrics(o.Registerer, c); err != nil {
		return nil, err
	}
	c.leases = leases.New(leases.Options{Client: o.Client, Logger: o.Log, Interval: o.LeaseInterval, NodeUID: c.nodeUID,
		Renewed: c.metrics.renewed})
	c.keeper = newKeeper(c)
	for _, f := range []struct {
		s   index.Selection
		l   index.Listener
		sub **index.Subscription
	}{
		{boundPods, podListener{c.keeper}, &c.pods},
		{index.Selection{Resource: nodesResource}, nodeListener{c.keeper}, &c.nodes},
		{index.Selection{Resource: namespacesResource}, ignore{}, &c.namespaces},
	} {
		if *f.sub, err = c.index.Follow(f.s, "", kube.User{}, f.l); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run works until ctx is done. Sessions may begin before.
func (c *Controller) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.index.Run(ctx) })
	g.Go(func() error { return c.leases.Run(ctx) })
	g.Go(func() error { return c.keeper.run(ctx) })
	g.Go(func() error { return c.review(ctx) })
	g.Go(func() error { return c.writeNotices(ctx) })
	g.Go(func() error { return c.watchLimits(ctx) })
	return g.Wait()
}

// errNotRead is why nobody can be judged yet.
var errNotRead = errors.New("cloudcore has not read Pods and Nodes yet")

// Ready returns why sessions cannot be served yet.
func (c *Controller) Ready() error {
	for _, sub := range []*index.Subscription{c.pods, c.nodes, c.namespaces} {
		if !sub.Synced() {
			return errNotRead
		}
	}
	return nil
}

// Open begins a session of a node.
func (c *Controller) Open(
	ctx context.Context, node string, _ edgev1.Hello, send func(context.Context, edgev1.Message) error,
) cloudhub.Session {
	s := newSession(ctx, c, node, send)
	c.mu.Lock()
	if c.sessions[node] == nil {
		c.sessions[node] = map[*Session]struct{}{}
	}
	c.sessions[node][s] = struct{}{}
	c.mu.Unlock()
	c.leases.Add(node)
	c.keeper.node(node)
	return s
}

// closed forgets a session.
func (c *Controller) closed(s *Session) {
	c.mu.Lock()
	if delete(c.sessions[s.node], s); len(c.sessions[s.node]) == 0 {
		delete(c.sessions, s.node)
	}
	c.mu.Unlock()
	c.leases.Remove(s.node)
}

// connected tells whether a node has a session here.
func (c *Controller) connected(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions[node]) > 0
}

// settle notes the site of a Node, "" being none. The sessions of nodes that reach
// others now follow anew what depends on it.
func (c *Controller) settle(node, site string) {
	for _, name := range c.sites.set(node, site) {
		c.mu.Lock()
		of := slices.Collect(maps.Keys(c.sessions[name]))
		c.mu.Unlock()
		for _, s := range of {
			s.moved()
		}
	}
}

// all returns the sessions.
func (c *Controller) all() (all []*Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.sessions {
		all = slices.AppendSeq(all, maps.Keys(of))
	}
	return all
}

// userOf decides who a node asks as. The error is a refusal, or [errNotRead].
func (c *Controller) userOf(node string, as edgev1.As) (kube.User, error) {
	if as.ServiceAccount == "" {
		return grant.UserOf(node, as, nil)
	}
	if !c.pods.Synced() {
		return kube.User{}, errNotRead
	}
	return grant.UserOf(node, as, c.podsOf(node))
}

// podsOf returns the Pods that are bound to a node and have not ended.
func (c *Controller) podsOf(node string) (pods []grant.Pod) {
	c.pods.EachOf(node, func(k index.Key, uid string, note any) {
		if n, ok := note.(podNote); ok && n.account != "" {
			pods = append(pods, grant.Pod{Namespace: k.Namespace, Name: k.Name, UID: uid, Account: n.account})
		}
	})
	return pods
}

// nodeUID returns the UID of a Node, "" if there is none.
func (c *Controller) nodeUID(node string) string {
	note, _ := c.nodes.Note(index.Key{Name: node})
	n, _ := note.(nodeNote)
	return n.uid
}

// review asks again and again whether sessions may have what they follow.
func (c *Controller) review(ctx context.Context) error {
	tick := time.NewTicker(c.reviewInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, s := range c.all() {
				s.review(now)
			}
		}
	}
}

// sumOf is a number that differs where a node's Pods do.
func (c *Controller) sumOf(node string) (sum uint64) {
	for _, p := range c.podsOf(node) {
		sum += maphash.String(c.seed, p.UID)
	}
	return sum
}

// ignore is the listener of what is only looked up.
type ignore struct{}

func (ignore) Changed(index.Key, string) {}
func (ignore) Synced()                   {}
func (ignore) Failed(error)              {}
func (ignore) WentBack()                 {}
