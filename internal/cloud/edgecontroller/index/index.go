package index

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"golang.org/x/sync/singleflight"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/logging"
)

// Options say what an index works with.
type Options struct {
	Client *kube.Client
	Logger *slog.Logger
	// Own are the resources that cloudcore itself lives on.
	Own []Own
	// CacheBytes is how much the bytes of objects may take; 0: 64 MiB.
	CacheBytes int64
	// MaxObjects is how many objects all feeds but cloudcore's own may have; 0:
	// 500,000. Each takes about 300 bytes.
	MaxObjects int64
	// MaxFeeds is how many feeds there may be; 0: 20,000.
	MaxFeeds int
	// Linger is how long a feed outlives its last subscriber; 0: 2 minutes. Then
	// a node that is back soon finds it.
	Linger time.Duration
	// Reach returns the nodes whose endpoints a node reaches, itself among them. It
	// has the EndpointSlices of those; with nil, all.
	Reach func(node string) []string
	// Patience is how long the API server must refuse a watch before the
	// subscribers are told; 0: 5 s. One that has just started refuses for a
	// moment what it allows once it has read its roles.
	Patience time.Duration
}

// Index is a set of feeds. Its methods may be called by several goroutines.
type Index struct {
	Options
	client     *kube.Client
	log        *slog.Logger
	patience   time.Duration
	cache      *cache
	reads      singleflight.Group
	complaints logging.Sparing

	objects, owned atomic.Int64 // of others' feeds, and of cloudcore's own
	lists, gets    atomic.Int64

	mu    sync.Mutex
	ctx   context.Context // of the feeds; nil before Run
	feeds map[feedKey]*feed
	wait  sync.WaitGroup
	ended bool
}

// feedKey is what all subscribers of a feed have in common.
type feedKey struct {
	Selection
	slicer
}

func (c cut) key() feedKey { return feedKey{c.whole, c.by} }

// New returns an index. Its feeds begin with [Index.Run].
func New(o Options) *Index {
	def := func(to *int64, value int64) {
		if *to == 0 {
			*to = value
		}
	}
	def(&o.CacheBytes, 64<<20)
	def(&o.MaxObjects, 500_000)
	if o.MaxFeeds == 0 {
		o.MaxFeeds = 20_000
	}
	if o.Linger == 0 {
		o.Linger = 2 * time.Minute
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	x := &Index{
		Options: o, client: o.Client, log: o.Logger, patience: o.Patience,
		cache: newCache(o.CacheBytes), feeds: map[feedKey]*feed{},
	}
	for i := range o.Own {
		if o.Own[i].OnDemand {
			continue
		}
		c := cut{
			whole: Selection{Resource: o.Own[i].Resource, Fields: o.Own[i].Fields},
			by:    slicer{field: o.Own[i].By}, own: &x.Own[i],
		}
		x.feeds[c.key()] = newFeed(x, c)
	}
	return x
}

// Run watches until ctx is done, and returns when all watches have ended.
func (x *Index) Run(ctx context.Context) error {
	x.mu.Lock()
	x.ctx = ctx
	for _, f := range x.feeds {
		x.start(f)
	}
	x.mu.Unlock()
	<-ctx.Done()
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	x.wait.Wait()
	return nil
}

// start begins a feed's watch; it does nothing before Run and after its end.
func (x *Index) start(f *feed) {
	if x.ctx == nil || x.ended {
		return
	}
	x.wait.Go(func() { f.run(x.ctx) })
}

// Listener is told what happens to a subscription. Its methods must return at
// once and must not call the index: feeds wait for them. They are not called
// after Close has returned.
type Listener interface {
	// Changed says that an object is new, has changed, or is gone from the
	// selection; then gone is the UID it had.
	Changed(k Key, gone string)
	// Synced says that all objects are known for the first time. It is not
	// called if they were known when the subscription began.
	Synced()
	// Failed says that the API server refuses the watch. The subscription has
	// ended.
	Failed(err error)
	// WentBack says that the API server has forgotten changes that it had told of:
	// its etcd was restored from a backup, or has lost data. Changed has been told
	// of what is different now.
	WentBack()
}

// Subscription is one listener's part in a feed.
type Subscription struct {
	f        *feed
	node     string
	slice    string // or several; "" is all
	as       kube.User
	listener Listener
}

// Follow subscribes to a selection, in canonical form, for a node, or for
// cloudcore itself where node is empty. As is the user in whose name it may be
// watched; whether that user may have it is for the caller to ask first.
func (x *Index) Follow(s Selection, node string, as kube.User, l Listener) (*Subscription, error) {
	var reach []string
	if x.Reach != nil && node != "" && isEndpointSlices(s.Resource) {
		reach = x.Reach(node)
	}
	c := cutOf(s, node, reach, x.Own)
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.feeds[c.key()]
	if f == nil {
		if len(x.feeds) >= x.MaxFeeds {
			return nil, apierrors.NewTooManyRequests("cloudcore has as many watches as it may (controller.maxWatches)", 0)
		}
		f = newFeed(x, c)
		x.feeds[c.key()] = f
		defer x.start(f)
	}
	sub := &Subscription{f: f, node: node, slice: c.slice, as: as, listener: l}
	f.mu.Lock()
	defer f.mu.Unlock()
	for slice := range strings.SplitSeq(c.slice, separator) {
		if f.subs[slice] == nil {
			f.subs[slice] = map[*Subscription]struct{}{}
		}
		f.subs[slice][sub] = struct{}{}
	}
	if f.current != nil && !f.has(f.current) && f.again != nil {
		f.again() // whoever it was opened for has gone
	}
	return sub, nil
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.has(s) {
		return
	}
	f.forget(s)
	switch {
	case f.permanent():
	case len(f.subs) == 0:
		time.AfterFunc(f.x.Linger, f.leaveIfUnused)
	case f.current == s:
		// The watch goes on in the name of somebody who is still there.
		f.current = nil
		if f.again != nil {
			f.again()
		}
	}
}

// leaveIfUnused makes an unused feed's run end it.
func (f *feed) leaveIfUnused() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.subs) > 0 {
		return
	}
	if f.again != nil {
		f.again()
	}
}

// end removes a feed that nobody subscribes to, and tells whether it has.
func (x *Index) end(f *feed) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.subs) > 0 {
		return false
	}
	delete(x.feeds, f.key())
	f.count(-int64(len(f.objects)))
	for k := range f.objects {
		x.cache.drop(f, k)
	}
	return true
}

// count counts objects that a feed has more, or less. It is false, and nothing
// is counted, if there is no room.
func (f *feed) count(n int64) bool {
	if f.own != nil {
		f.x.owned.Add(n)
		return true
	}
	if f.x.objects.Add(n) <= f.x.MaxObjects || n < 0 {
		return true
	}
	f.x.objects.Add(-n)
	return false
}

// Items returns what a subscription selects, in no order, and the version of the
// list. Synced is false until all objects are known.
func (s *Subscription) Items() (items []edgev1.Item, version string, synced bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.items(s.slice), s.f.version, s.f.synced
}

func (f *feed) items(slice string) []edgev1.Item {
	var items []edgev1.Item
	f.keys(slice, func(k Key, e entry) {
		items = append(items, edgev1.Item{Namespace: k.Namespace, Name: k.Name, UID: e.uid, Version: e.version})
	})
	return items
}

// Digest returns the digest (see [edgev1.Digest]) of what a subscription
// selects, and the version of the list. Synced is false until all objects are
// known.
func (s *Subscription) Digest() (digest []byte, version string, synced bool) {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.slice != "" {
		return edgev1.Digest(f.items(s.slice)), f.version, f.synced
	}
	if f.digest == nil {
		f.digest = edgev1.Digest(f.items(""))
	}
	return slices.Clone(f.digest), f.version, f.synced
}

// Stale tells whether the node reaches others now than when the subscription
// began.
func (s *Subscription) Stale() bool {
	return s.f.by.endpoints && s.slice != slicesOf(s.f.x.Reach(s.node))
}

// Synced tells whether all objects are known.
func (s *Subscription) Synced() bool {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.synced
}

// EachOf calls a function with the objects of one slice of the feed, such as one
// node's Pods, and what is kept of them ([Own]). It must return soon and must not
// call the index.
func (s *Subscription) EachOf(slice string, each func(k Key, uid string, note any)) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.keys(slice, func(k Key, e entry) { each(k, e.uid, e.note) })
}

// Note returns what is kept of an object, and whether it is there.
func (s *Subscription) Note(k Key) (note any, there bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	e, there := s.f.objects[k]
	return e.note, there && s.selects(e.slice)
}

// selects tells whether an object of a slice, or several, is the subscription's.
func (s *Subscription) selects(slice string) bool { return s.slice == "" || share(s.slice, slice) }

// Stats are numbers for metrics.
type Stats struct {
	Feeds, Objects, CacheBytes int64
	// Lists is how many lists feeds have read, and Reads how many objects were
	// read again because they were not in the cache.
	Lists, Reads int64
}

// Stats returns the present numbers.
func (x *Index) Stats() Stats {
	x.mu.Lock()
	feeds := len(x.feeds)
	x.mu.Unlock()
	return Stats{
		Feeds: int64(feeds), Objects: x.objects.Load() + x.owned.Load(), CacheBytes: x.cache.used(),
		Lists: x.lists.Load(), Reads: x.gets.Load(),
	}
}
