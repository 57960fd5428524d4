package publish

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/events"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// API is what a Publisher needs of the API server. *kubeclient.Client is one.
type API interface {
	Reachable() bool
	ApplyInstance(ctx context.Context, name types.NamespacedName, a kubeclient.Apply) (*v0.Instance, error)
	PatchInstance(ctx context.Context, name types.NamespacedName, subresource, manager string, patch []byte) (*v0.Instance, error)
	DeleteInstance(ctx context.Context, name types.NamespacedName, uid types.UID, resourceVersion string) (gone bool, err error)
	GetInstance(ctx context.Context, name types.NamespacedName) (*v0.Instance, error)
	EachInstance(ctx context.Context, selector string, f func(*v0.Instance)) error
	WatchInstances(ctx context.Context, selector string, trim func(*v0.Instance), h kubeclient.Observer[*v0.Instance])
	GetConfiguration(ctx context.Context, name types.NamespacedName) (*v0.Configuration, error)
	ApplyConfigurationStatus(ctx context.Context, name types.NamespacedName, manager string, body []byte) error
}

// Arbiter decides on slots of shared devices; see package reach.
type Arbiter interface {
	Reachable() bool
}

// Events tells users. [events.Writer] is one.
type Events interface {
	Found(inventory.Device)
	Lost(inventory.Device)
	Warn(r events.Regarding, reason, note string)
}

// Options says how a Publisher works. Node, API and Logger are required.
type Options struct {
	Node string
	API  API
	// Arbiter must be reachable for a claim to be made; nil means API.
	Arbiter Arbiter
	Events  Events // nil for none
	Logger  *slog.Logger
	// Observed, if set, is told all slots of an Instance that are not free, by
	// slot id, each time that they have changed; nil when the Instance is gone.
	// Of several quick changes only the last may be told. Calls do not overlap,
	// and are not made from within a call to the Publisher.
	Observed func(instance types.NamespacedName, usage map[string]v0.Usage)
	// Workers is how many requests may be in flight at a time; default 16.
	Workers int
	// Named, if set, is told when the Instance with a name is in the way of
	// device d: it belongs to the device with that id, or to one that this node
	// cannot have if id is "". It returns true if d now has another name.
	Named func(d inventory.Device, name, id string) bool
	// Written, if set, is told of each write that succeeded, for metrics.
	Written func(instance types.NamespacedName, verb Verb, took time.Duration)
	// Published, if set, is told how long it took from a report until the
	// Instance was written, for metrics.
	Published func(took time.Duration)
}

// Publisher keeps Instances in step with what a node has and holds. It
// implements [inventory.Consumer], [inventory.Statuses] and [ledger.Recorder].
type Publisher struct {
	opts    Options
	trim    func(*v0.Instance)
	watches []*watchObserver // of this node's Instances, and of shared ones
	queue   workqueue.TypedDelayingInterface[types.NamespacedName]
	status  *statuses
	room    room

	mu       sync.Mutex
	goals    map[types.NamespacedName]*goal
	observed map[types.NamespacedName]*observation
	// unread are Instances that are there and not observed, because they do not
	// concern this node.
	unread   map[types.NamespacedName]unread
	parked   map[types.NamespacedName]bool
	legacy   map[types.NamespacedName]bool
	names    map[string]bool // of Configurations, in all namespaces
	noStatus bool            // the CRD has no status subresource
	synced   int             // watches that have brought their first list
	ready    chan struct{}

	changes *changes
}

var (
	_ inventory.Consumer = (*Publisher)(nil)
	_ inventory.Statuses = (*Publisher)(nil)
	_ ledger.Recorder    = (*Publisher)(nil)
)

// goal is what is wanted of one Instance, and how far that is.
type goal struct {
	changes  int // how often what is wanted has changed
	word     Word
	device   inventory.Device
	claims   map[string]v0.Usage // nil: not known
	outdated []v0.OutdatedSlot   // nil: not known
	pending  *pendingClaim       // a caller of Claim waits
	vanished bool
	hard     bool
	differs  time.Time // since when the properties differ
	problem  string    // what was reported last
	failures int
	// joined and left tell what this node's writes have done since the last
	// Event.
	joined, left bool
	// reported is when the first report came that is not written yet, zero if
	// there is none; wrote tells that something was written since.
	reported time.Time
	wrote    bool
}

// New returns a Publisher; [Publisher.Run] makes it work.
func New(opts Options) *Publisher {
	if opts.Workers <= 0 {
		opts.Workers = 16
	}
	if opts.Arbiter == nil {
		opts.Arbiter = opts.API
	}
	if opts.Events == nil {
		opts.Events = silent{}
	}
	p := &Publisher{
		opts:     opts,
		trim:     trimmer(opts.Node),
		goals:    map[types.NamespacedName]*goal{},
		observed: map[types.NamespacedName]*observation{},
		unread:   map[types.NamespacedName]unread{},
		parked:   map[types.NamespacedName]bool{},
		legacy:   map[types.NamespacedName]bool{},
		ready:    make(chan struct{}),
		changes:  newChanges(),
	}
	p.watches = []*watchObserver{{p: p}, {p: p, shared: true}}
	p.status = newStatuses(opts.API, opts.Node, opts.Logger)
	p.queue = newQueue(p.urgent)
	return p
}

// silent says nothing.
type silent struct{}

func (silent) Found(inventory.Device)                {}
func (silent) Lost(inventory.Device)                 {}
func (silent) Warn(events.Regarding, string, string) {}

// Run watches and writes until ctx is done.
func (p *Publisher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	selectors := []string{
		v0.LabelNode + "=" + v0.NodeLabel(p.opts.Node),
		v0.LabelShared + "=true",
	}
	for i, selector := range selectors {
		g.Go(func() error {
			p.opts.API.WatchInstances(ctx, selector, p.trimWatched, p.watches[i])
			return nil
		})
	}
	g.Go(func() error { p.legacyRun(ctx); return nil })
	g.Go(func() error { p.changes.run(ctx, p.tell); return nil })
	g.Go(func() error { p.status.run(ctx); return nil })
	g.Go(func() error {
		select {
		case <-p.ready:
		case <-ctx.Done():
		}
		for range p.opts.Workers {
			g.Go(func() error { p.work(ctx); return nil })
		}
		<-ctx.Done()
		p.queue.ShutDown()
		p.taken()
		p.giveUp()
		return nil
	})
	return g.Wait()
}

// Synced is closed once the Instances of this node, and the shared ones, are
// known. Nothing is written before.
func (p *Publisher) Synced() <-chan struct{} { return p.ready }

// APIReachable must be called each time that the API is reachable again, or no
// longer; see package reach.
func (p *Publisher) APIReachable(up bool) {
	if !up {
		return
	}
	p.mu.Lock()
	parked := p.parked
	p.parked = map[types.NamespacedName]bool{}
	p.mu.Unlock()
	for name := range parked {
		p.queue.Add(name)
	}
	p.status.retry()
}

// SetConfigurations brings the Configurations of the cluster. An Instance must
// not have the name of one, because resources have no namespace.
func (p *Publisher) SetConfigurations(all []*v0.Configuration) {
	names := make(map[string]bool, len(all))
	for _, c := range all {
		names[c.Name] = true
	}
	var changed []types.NamespacedName
	p.mu.Lock()
	for name := range p.goals {
		if names[name.Name] != p.names[name.Name] {
			changed = append(changed, name)
		}
	}
	p.names = names
	p.mu.Unlock()
	for _, name := range changed {
		p.queue.Add(name)
	}
}

// DeviceChanged implements [inventory.Consumer].
func (p *Publisher) DeviceChanged(d inventory.Device) { p.deviceSays(d, Present) }

// DeviceGone implements [inventory.Consumer].
func (p *Publisher) DeviceGone(d inventory.Device) { p.deviceSays(d, Gone) }

func (p *Publisher) deviceSays(d inventory.Device, word Word) {
	p.mu.Lock()
	g := p.goal(d.Instance)
	if g.word != word || g.device.Owner != d.Owner {
		g.failures, g.hard = 0, false
	}
	if g.reported.IsZero() {
		g.reported, g.wrote = d.ReportedAt, false
	}
	g.changes++
	g.word, g.device = word, d
	delete(p.legacy, d.Instance)
	p.mu.Unlock()
	p.queue.Add(d.Instance)
}

// goal returns the goal of an Instance, and makes it if there is none. The caller
// holds p.mu.
func (p *Publisher) goal(name types.NamespacedName) *goal {
	g := p.goals[name]
	if g == nil {
		g = &goal{}
		p.goals[name] = g
	}
	return g
}

// Record says which slots of an Instance this node holds: all of them, by slot
// id. They are written soon, and again if they get lost, but never taken from
// another node; [Options.Observed] is told the result. Before the first Record
// (or Claim) of an Instance its slots stay as they are.
func (p *Publisher) Record(instance types.NamespacedName, claims map[string]v0.Usage) {
	p.mu.Lock()
	g := p.goal(instance)
	g.changes++
	g.claims = copyClaims(claims)
	p.mu.Unlock()
	p.queue.Add(instance)
}

// Outdated says which slots of an Instance are held by containers of this node
// that have the device as it was before: all of them, or none.
func (p *Publisher) Outdated(instance types.NamespacedName, slots []v0.OutdatedSlot) {
	p.mu.Lock()
	g := p.goal(instance)
	g.changes++
	g.outdated = append([]v0.OutdatedSlot{}, slots...) // not nil
	p.mu.Unlock()
	p.queue.Add(instance)
}

// copyClaims never returns nil, which would mean unknown.
func copyClaims(claims map[string]v0.Usage) map[string]v0.Usage {
	c := make(map[string]v0.Usage, len(claims))
	maps.Copy(c, claims)
	return c
}

// ConfigurationStatus implements [inventory.Statuses]: the entry is written to
// the Configuration's status if it says something new, at most once a second.
func (p *Publisher) ConfigurationStatus(configuration types.NamespacedName, owner types.UID, entry v0.ConfigurationNode) {
	p.status.set(configuration, owner, entry)
}

// Pending returns the number of Instances that are waiting to be written.
func (p *Publisher) Pending() int {
	n := p.queue.Len() // not under p.mu, which the queue takes to ask what is urgent
	p.mu.Lock()
	defer p.mu.Unlock()
	return n + len(p.parked)
}
