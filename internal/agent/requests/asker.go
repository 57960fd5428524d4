package requests

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/logging"
)

// Registry takes the requests.
type Registry interface {
	Ask(registry.Request)
	Drop(configuration types.NamespacedName)
}

// Inventory is told to which Configurations the answers belong.
type Inventory interface {
	SetConfiguration(inventory.Configuration)
	DropConfiguration(configuration types.NamespacedName)
	Retain(configurations map[types.NamespacedName]bool)
}

// Options says what an Asker works with. All are required, but for Namespaces,
// Store and Warn.
type Options struct {
	Node string
	// API is where discoveryProperties come from, and Namespaces where
	// they may, besides a Configuration's own namespace.
	API        API
	Namespaces Namespaces
	Registry   Registry
	Inventory  Inventory
	Statuses   inventory.Statuses
	// Store keeps the requests over restarts; nil for none.
	Store checkpoint.Store[State]
	// Warn, if not nil, tells the user why no request is made for a
	// Configuration.
	Warn   func(configuration types.NamespacedName, owner types.UID, reason, note string)
	Logger *slog.Logger
}

// Reasons of warnings.
const (
	reasonRefused    = "ConfigurationRefused"
	reasonProperties = "PropertiesNotResolved"
)

// Asker keeps the registry's requests and the inventory's Configurations in
// step with the Configurations of the cluster, and with the Secrets and
// ConfigMaps that these refer to.
type Asker struct {
	opts    Options
	objects *objectCache
	// salt is mixed into the ids of requests with secrets. Ids are logged and
	// stored, and must not help to guess the secret.
	salt string
	// input holds the newest list of Configurations until Run takes it.
	input chan []*v0.Configuration
	beat  chan struct{}
	// Synced is closed once the first list has been handled.
	Synced   chan struct{}
	restored atomic.Bool

	// What follows belongs to Run.
	active  map[types.NamespacedName]*active
	refused map[types.NamespacedName]refused
	dirty   bool // the store is behind

	unwritable logging.Problem
}

// active is a Configuration whose request is made, or will be when its properties
// are known.
type active struct {
	request       registry.Request
	id            string // of the request; "" if none is made
	confidential  bool   // the request has values from Secrets
	configuration inventory.Configuration
}

type refused struct {
	owner      types.UID
	generation int64
	reason     string
}

// New returns an Asker; Run makes it work.
func New(opts Options) *Asker {
	return &Asker{
		opts:       opts,
		objects:    newObjectCache(opts.API, opts.Logger),
		salt:       rand.Text(),
		input:      make(chan []*v0.Configuration, 1),
		beat:       make(chan struct{}),
		Synced:     make(chan struct{}),
		active:     map[types.NamespacedName]*active{},
		refused:    map[types.NamespacedName]refused{},
		unwritable: logging.Problem{What: "cannot save what handlers are asked; a restart without an API server asks what was saved last"},
	}
}

// Set brings the complete list of Configurations. It must not be called
// concurrently.
func (a *Asker) Set(all []*v0.Configuration) {
	select {
	case <-a.input: // not taken yet: out of date
	default:
	}
	a.input <- all
}

// Started tells whether it is known what to ask, from the Configurations of the
// cluster or from the store.
func (a *Asker) Started() bool {
	select {
	case <-a.Synced:
		return true
	default:
		return a.restored.Load()
	}
}

// Beat returns once Run has received it, or when ctx is done.
func (a *Asker) Beat(ctx context.Context) {
	select {
	case a.beat <- struct{}{}:
	case <-ctx.Done():
	}
}

// saveDelay is how long a change waits to be saved together with others.
const saveDelay = time.Second

// Run works until ctx is done.
func (a *Asker) Run(ctx context.Context) error {
	var (
		current []*v0.Configuration
		synced  bool
		saves   = time.NewTimer(time.Hour)
	)
	defer saves.Stop()
	defer a.objects.stop()
	for {
		select {
		case <-ctx.Done():
			a.save()
			return nil
		case <-a.beat:
			continue
		case <-saves.C:
			if !a.save() {
				saves.Reset(time.Minute)
			}
			continue
		case current = <-a.input:
			a.follow(ctx, current)
		case <-a.objects.changed:
			if !synced {
				continue
			}
		}
		before := a.dirty
		a.sync(current, !synced)
		if !synced {
			synced, a.dirty = true, true
			close(a.Synced)
		}
		if a.dirty && !before {
			saves.Reset(saveDelay)
		}
	}
}

// follow watches the objects that the Configurations refer to.
func (a *Asker) follow(ctx context.Context, all []*v0.Configuration) {
	wanted, _ := Plan(all)
	refs := map[Ref]bool{}
	for _, c := range wanted {
		for _, ref := range References(c, a.opts.Namespaces) {
			refs[ref] = true
		}
	}
	a.objects.want(ctx, refs)
}

// sync asks what is new and drops what is gone.
func (a *Asker) sync(all []*v0.Configuration, first bool) {
	wanted, no := Plan(all)
	stays := make(map[types.NamespacedName]bool, len(wanted))
	for _, c := range wanted {
		stays[nameOf(c)] = true
	}
	if first {
		a.opts.Inventory.Retain(stays)
	}
	for name := range a.active {
		if !stays[name] {
			a.drop(name)
		}
	}
	for _, c := range wanted {
		name := nameOf(c)
		if act := a.active[name]; act != nil && act.configuration.Owner != c.UID {
			a.drop(name) // deleted and made again
		}
		a.ask(c)
	}
	still := make(map[types.NamespacedName]bool, len(no))
	for _, r := range no {
		name := nameOf(r.Configuration)
		still[name] = true
		said := refused{r.Configuration.UID, r.Configuration.Generation, r.Reason.Error()}
		if a.refused[name] != said {
			a.refused[name] = said
			a.fail(r.Configuration, r.Reason)
		}
	}
	for name := range a.refused {
		if !still[name] {
			delete(a.refused, name)
		}
	}
}

func (a *Asker) drop(name types.NamespacedName) {
	delete(a.active, name)
	a.dirty = true
	a.opts.Registry.Drop(name)
	a.opts.Inventory.DropConfiguration(name)
	a.opts.Logger.Info("configuration dropped", "configuration", name)
}

// ask makes the request of a Configuration unless it is made already. While its
// properties cannot be resolved, the earlier request stays.
func (a *Asker) ask(c *v0.Configuration) {
	was := a.active[nameOf(c)]
	now := &active{configuration: inventory.Configuration{
		Name:               nameOf(c),
		Owner:              c.UID,
		Generation:         c.Generation,
		Handler:            c.Spec.DiscoveryHandler.Name,
		Capacity:           c.Slots(),
		BrokerProperties:   c.Spec.BrokerProperties,
		OfflineGracePeriod: c.Spec.DiscoveryHandler.OfflineGracePeriod,
	}}
	values, err := Resolve(c, a.opts.Namespaces, a.objects.known)
	if err != nil {
		if was != nil {
			now.request, now.id, now.confidential = was.request, was.id, was.confidential
		}
		if err != errWaiting {
			now.configuration.Problem = err.Error()
		}
	} else {
		now.confidential = Confidential(c)
		now.request = registry.Request{
			Configuration: nameOf(c),
			UID:           c.UID,
			Handler:       c.Spec.DiscoveryHandler.Name,
			Request:       discovery.Request{Details: c.Spec.DiscoveryHandler.DiscoveryDetails, Properties: values},
		}
		if now.confidential {
			now.request.Salt = a.salt
		}
		now.id = now.request.ID()
	}
	if now.id != "" {
		now.configuration.Handler, now.configuration.RequestID = now.request.Handler, now.id
	}
	if was != nil && was.id == now.id && was.configuration.Generation == now.configuration.Generation &&
		was.configuration.Problem == now.configuration.Problem {
		return
	}
	if t := now.configuration.Problem; t != "" && (was == nil || was.configuration.Problem != t) {
		a.warn(c, reasonProperties, t)
	}
	a.put(now, was == nil || was.id != now.id)
}

// put makes a request if ask is true, and tells the inventory what the answers
// belong to.
func (a *Asker) put(act *active, ask bool) {
	a.active[act.configuration.Name] = act
	a.dirty = true
	// The inventory first: an answer must find its request.
	a.opts.Inventory.SetConfiguration(act.configuration)
	if ask && act.id != "" {
		a.opts.Registry.Ask(act.request)
		a.opts.Logger.Info("asking handlers", "configuration", act.configuration.Name, "handler", act.request.Handler, "request", act.id)
	}
}

// fail says in the Configuration's status why no request is made for it.
func (a *Asker) fail(c *v0.Configuration, err error) {
	a.warn(c, reasonRefused, err.Error())
	a.opts.Statuses.ConfigurationStatus(nameOf(c), c.UID, v0.ConfigurationNode{
		Name:               a.opts.Node,
		State:              v0.DiscoveryFailed,
		Message:            err.Error(),
		ObservedGeneration: c.Generation,
	})
}

func (a *Asker) warn(c *v0.Configuration, reason, note string) {
	a.opts.Logger.Warn("cannot make the request of a Configuration", "configuration", nameOf(c), "reason", reason, "error", note)
	if a.opts.Warn != nil {
		a.opts.Warn(nameOf(c), c.UID, reason, note)
	}
}
