package requests

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
)

// Registry is where questions go.
type Registry interface {
	Ask(registry.Question)
	Drop(configuration types.NamespacedName)
}

// Inventory is told what the answers will belong to.
type Inventory interface {
	SetRequest(inventory.Request)
	DropRequest(configuration types.NamespacedName)
	Retain(configurations map[types.NamespacedName]bool)
}

// Options says what an Asker works with; all are required.
type Options struct {
	Node      string
	Objects   Objects
	Registry  Registry
	Inventory Inventory
	Statuses  inventory.Statuses
	// Warn, if it is not nil, tells the user why a Configuration is not asked for.
	Warn   func(configuration types.NamespacedName, owner types.UID, reason, note string)
	Logger *slog.Logger
}

// Asker keeps the registry's questions and the inventory's requests in step
// with the Configurations of the cluster.
type Asker struct {
	opts Options
	// input holds the newest list of Configurations until Run takes it.
	input chan []*v0.Configuration
	// Synced is closed once the first list has been worked off.
	Synced chan struct{}
}

// New returns an Asker; Run makes it work.
func New(opts Options) *Asker {
	return &Asker{opts: opts, input: make(chan []*v0.Configuration, 1), Synced: make(chan struct{})}
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

// retryResolve is how long a property whose source cannot be read waits.
const retryResolve = 10 * time.Second

// resolveTimeout bounds how long one Configuration's Secrets can hold up the others.
const resolveTimeout = 5 * time.Second

// seen is what is known of a Configuration that was looked at.
type seen struct {
	owner      types.UID
	generation int64
	failed     bool   // the properties could not be resolved
	refused    string // why it is not asked for, if it is not
}

// Run works until ctx is done.
func (a *Asker) Run(ctx context.Context) error {
	var (
		current []*v0.Configuration
		done    = map[types.NamespacedName]seen{}
		retry   = time.NewTimer(time.Hour)
		synced  bool
	)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case current = <-a.input:
		case <-retry.C:
			for name, d := range done {
				if d.failed {
					delete(done, name)
				}
			}
		}
		if a.sync(ctx, current, done, !synced) {
			retry.Reset(retryResolve)
		}
		if !synced {
			synced = true
			close(a.Synced)
		}
	}
}

// sync asks what is new and drops what is gone; it tells whether to try again.
func (a *Asker) sync(ctx context.Context, all []*v0.Configuration, done map[types.NamespacedName]seen, first bool) (again bool) {
	wanted, refused := Plan(all)
	stays := make(map[types.NamespacedName]bool, len(wanted))
	for _, c := range wanted {
		stays[nameOf(c)] = true
	}
	if first {
		a.opts.Inventory.Retain(stays)
	}
	for name, d := range done {
		if !stays[name] && d.refused == "" {
			a.drop(name)
			delete(done, name)
		}
	}
	for _, c := range wanted {
		name := nameOf(c)
		d, known := done[name]
		if known && d.owner != c.UID && d.refused == "" {
			a.drop(name) // deleted and made again
		}
		if known && d.owner == c.UID && d.generation == c.Generation && d.refused == "" {
			again = again || d.failed
			continue
		}
		err := a.ask(ctx, c)
		done[name] = seen{owner: c.UID, generation: c.Generation, failed: err != nil}
		again = again || err != nil
	}
	still := make(map[types.NamespacedName]bool, len(refused))
	for _, r := range refused {
		name := nameOf(r.Configuration)
		still[name] = true
		d := seen{owner: r.Configuration.UID, generation: r.Configuration.Generation, refused: r.Reason.Error()}
		if done[name] != d {
			done[name] = d
			a.fail(r.Configuration, r.Reason)
		}
	}
	for name, d := range done {
		if d.refused != "" && !still[name] {
			delete(done, name)
		}
	}
	return again
}

func (a *Asker) drop(name types.NamespacedName) {
	a.opts.Registry.Drop(name)
	a.opts.Inventory.DropRequest(name)
	a.opts.Logger.Info("configuration dropped", "configuration", name)
}

func (a *Asker) ask(ctx context.Context, c *v0.Configuration) error {
	limited, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	properties, err := Resolve(limited, a.opts.Objects, c)
	if err != nil {
		a.fail(c, err)
		return err
	}
	q := registry.Question{
		Configuration: nameOf(c),
		UID:           c.UID,
		Handler:       c.Spec.DiscoveryHandler.Name,
		Request: discovery.Request{
			Details:    c.Spec.DiscoveryHandler.DiscoveryDetails,
			Properties: properties,
		},
	}
	// The inventory first: an answer must find its request.
	a.opts.Inventory.SetRequest(inventory.Request{
		Configuration:      q.Configuration,
		Owner:              c.UID,
		Generation:         c.Generation,
		Handler:            q.Handler,
		Question:           q.ID(),
		Capacity:           c.Slots(),
		BrokerProperties:   c.Spec.BrokerProperties,
		OfflineGracePeriod: c.Spec.DiscoveryHandler.OfflineGracePeriod,
	})
	a.opts.Registry.Ask(q)
	a.opts.Logger.Info("asking handlers", "configuration", q.Configuration, "handler", q.Handler, "question", q.ID())
	return nil
}

// fail says at the Configuration why it is not asked for.
func (a *Asker) fail(c *v0.Configuration, err error) {
	if a.opts.Warn != nil {
		a.opts.Warn(nameOf(c), c.UID, "ConfigurationRefused", err.Error())
	}
	a.opts.Logger.Warn("not asking for a configuration", "configuration", nameOf(c), "error", err)
	a.opts.Statuses.ConfigurationStatus(nameOf(c), c.UID, v0.ConfigurationNode{
		Name:               a.opts.Node,
		State:              v0.DiscoveryFailed,
		Message:            err.Error(),
		ObservedGeneration: c.Generation,
	})
}
