// Package agent wires the steps of a node's agent together. Data runs one way:
//
//	Configurations → requests → registry → inventory → publish (Instances)
//	                                              └──→ ledger → deviceplugin (the kubelet)
//
// Claims run back: deviceplugin asks the ledger for slots, and publish writes the
// ledger's claims. Rarely, publish also tells the inventory that the name of an
// Instance is taken.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/hostpath"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/coreapi"
	"github.com/akri-go/akri/internal/agent/deviceplugin"
	"github.com/akri-go/akri/internal/agent/events"
	"github.com/akri-go/akri/internal/agent/heartbeat"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/agent/metrics"
	"github.com/akri-go/akri/internal/agent/outdated"
	"github.com/akri-go/akri/internal/agent/podresources"
	"github.com/akri-go/akri/internal/agent/publish"
	"github.com/akri-go/akri/internal/agent/reach"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/agent/requests"
	"github.com/akri-go/akri/internal/probes"
)

// Options says how an agent works.
type Options struct {
	// Node is the name of the node. Required.
	Node string
	// API says where the API server is. Required.
	API    *rest.Config
	Logger *slog.Logger

	// HandlersDir is the folder of the agent's and the handlers' sockets.
	// StateDir is the folder of the checkpoints, [DefaultStateDir] if it is "";
	// it must be outside of HandlersDir.
	HandlersDir, StateDir string
	// SocketGID is the group that owns HandlersDir; if it is negative, the
	// group is left as it is.
	SocketGID int
	// HandlerUIDs bind names of handlers to users; see [registry.Options].
	HandlerUIDs map[string][]int
	// HostPaths say which device nodes and mounts handlers may give to
	// containers.
	HostPaths hostpath.Options
	// HandlersMemoryBytes is how many bytes the lists of all handlers may take
	// in this process; 0 means the inventory's default.
	HandlersMemoryBytes int
	Builtin             []discovery.Handler

	// DevicePluginDir and PodResourcesSocket are the kubelet's.
	DevicePluginDir, PodResourcesSocket string
	// PodName and PodNamespace are the agent's own Pod, if it runs in one.
	PodName, PodNamespace string

	// SlotsFreedAfter is how long the kubelet must not use a slot before it is
	// freed; 0 means [ledger.IdleGrace].
	SlotsFreedAfter time.Duration

	// PropertyNamespaces are the namespaces that the discoveryProperties of every
	// Configuration may refer to, besides its own; "*" stands for all.
	PropertyNamespaces []string

	// MetricsAddress is where metrics and probes are served; "" for nowhere.
	MetricsAddress string
	// Metrics is where metrics are registered, and served from. Required.
	Metrics *prometheus.Registry
}

// Run runs the agent of a node until ctx is done.
func Run(ctx context.Context, o Options) error {
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if err := checkStateDir(o.HandlersDir, o.StateDir); err != nil {
		return err
	}
	ignoreOldState(o.HandlersDir, o.Logger)
	client, err := kubeclient.New(o.API, o.Logger)
	if err != nil {
		return err
	}
	core, err := coreapi.New(o.API, o.Node)
	if err != nil {
		return err
	}
	paths, err := hostpath.New(o.HostPaths)
	if err != nil {
		return err
	}
	// Behind an edge node's local API server the arbiter is somebody else.
	ask := reach.Direct(client)
	uptime := &inventory.UpTime{}
	var books *ledger.Ledger
	var inv *inventory.Inventory
	var finder *outdated.Finder
	var handlers *registry.Registry
	meters, err := metrics.New(o.Metrics, metrics.Counted{
		Devices:   func() []inventory.Tally { return inv.Tally() },
		Endpoints: func() map[string]int { return handlers.Endpoints() },
		APIServer: ask.API.Reachable,
	})
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}

	says := events.New(client, o.Node, o.Logger)
	publisher := publish.New(publish.Options{
		Node: o.Node, API: client, Arbiter: ask.Arbiter, Events: says, Logger: o.Logger,
		Written: meters.Written, Published: meters.Published,
		Observed: func(instance types.NamespacedName, usage map[string]v0.Usage) { books.Observed(instance, usage) },
		Named:    func(d inventory.Device, name, id string) bool { return inv.Named(d, name, id) },
	})
	books = ledger.New(ledger.Options{
		Node:     o.Node,
		Store:    &checkpoint.File[ledger.State]{Path: filepath.Join(o.StateDir, "claims.json"), Version: ledger.StateVersion},
		Recorder: publisher,
		Grace:    o.SlotsFreedAfter,
		Logger:   o.Logger,
	})
	warn := func(c types.NamespacedName, owner types.UID, reason, note string) {
		says.Warn(events.Regarding{Configuration: c, UID: owner}, reason, note)
	}
	doors, err := deviceplugin.New(deviceplugin.Options{
		Dir: o.DevicePluginDir, Node: o.Node, Ledger: books, HostPaths: paths, Logger: o.Logger,
		Room: publisher.Room,
		Allocated: func(a deviceplugin.Allocation) {
			meters.Allocated(a)
			if a.Err == nil {
				finder.Kick()
				return
			}
			for _, name := range a.Instances {
				if d, ok := inv.Device(name); ok {
					c := types.NamespacedName{Namespace: name.Namespace, Name: d.Configuration}
					warn(c, d.Owner, "ClaimDenied", a.Err.Error())
				}
			}
		},
	})
	if err != nil {
		return err
	}
	reclaimer, err := podresources.New(podresources.Options{
		Socket:     o.PodResourcesSocket,
		Checkpoint: filepath.Join(o.DevicePluginDir, "kubelet_internal_checkpoint"),
		Self:       types.NamespacedName{Namespace: o.PodNamespace, Name: o.PodName},
		Ledger:     books,
		Logger:     o.Logger,
		Interval:   min(podresources.LookInterval, o.SlotsFreedAfter/2),
		Nudge:      doors.Nudge,
		ActivePods: core.Pods,
	})
	if err != nil {
		return err
	}
	finder = outdated.New(outdated.Options{
		Claims: books.Claims, Given: reclaimer.Given, Pods: core.Pods, Resolve: paths.Resolve,
		Tell: publisher.Outdated, Logger: o.Logger,
	})
	books.Subscribe(doors.SlotsChanged)
	books.Subscribe(func(types.NamespacedName) { reclaimer.Kick(); finder.Kick() })
	inv = inventory.New(inventory.Options{
		Node:        o.Node,
		Consumers:   []inventory.Consumer{books, publisher, doors, finder},
		Statuses:    publisher,
		Warn:        warn,
		Vet:         func(devices []discovery.Device) ([]discovery.Device, error) { return handlers.Vet(devices) },
		UpTime:      uptime,
		Store:       &checkpoint.File[inventory.State]{Path: filepath.Join(o.StateDir, "devices.json"), Version: inventory.StateVersion},
		BootID:      bootID(),
		Logger:      o.Logger,
		BudgetBytes: o.HandlersMemoryBytes,
	})
	handlers, err = registry.New(registry.Options{
		Dir: o.HandlersDir, Observer: inv, Logger: o.Logger, SocketGID: o.SocketGID,
		HostPaths: paths, HandlerUIDs: o.HandlerUIDs,
		Answered: meters.Answered,
		Refused: func(r registry.Refusal) {
			meters.Refused(r)
			if !r.Repeated {
				says.Warn(events.Regarding{Node: true}, "DiscoveryHandlerRefused", fmt.Sprintf(
					"discovery handler %s at %s, of user %d and group %d, may not register: %v", r.Handler, r.Endpoint, r.UID, r.GID, r.Err))
			}
		},
	})
	if err != nil {
		return err
	}
	for _, h := range o.Builtin {
		if err := handlers.Builtin(h); err != nil {
			return fmt.Errorf("built-in handler %s: %w", h.Name(), err)
		}
	}
	asker := requests.New(requests.Options{
		Node: o.Node, API: core, Namespaces: o.PropertyNamespaces,
		Registry: handlers, Inventory: inv, Statuses: publisher, Warn: warn, Logger: o.Logger,
		Store: &checkpoint.File[requests.State]{Path: filepath.Join(o.StateDir, "questions.json"), Version: requests.StateVersion},
	})
	ask.API.OnReachable(uptime.Set)
	ask.Arbiter.OnReachable(books.ArbiterReachable)
	ask.API.OnReachable(publisher.APIReachable)

	inv.Restore()
	asker.Restore()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return client.Run(ctx) })
	g.Go(func() error { return handlers.Run(ctx) })
	g.Go(func() error { return asker.Run(ctx) })
	g.Go(func() error { return inv.Run(ctx) })
	g.Go(func() error { return publisher.Run(ctx) })
	g.Go(func() error { says.Run(ctx); return nil })
	g.Go(func() error { return doors.Run(ctx) })
	g.Go(func() error { return reclaimer.Run(ctx) })
	g.Go(func() error { return finder.Run(ctx) })
	g.Go(func() error {
		client.WatchConfigurations(ctx, func(all []*v0.Configuration) {
			publisher.SetConfigurations(all)
			meters.SetConfigurations(all)
			asker.Set(all)
		})
		return nil
	})
	g.Go(func() error { return adopt(ctx, asker, publisher, inv) })
	if o.PodNamespace != "" && o.PodName != "" {
		g.Go(func() error {
			return heartbeat.Run(ctx, heartbeat.Options{
				Node: o.Node, Namespace: o.PodNamespace, Apply: client.ApplyLease, Logger: o.Logger,
				Owner: func(ctx context.Context) ([]metav1.OwnerReference, error) {
					return core.Owner(ctx, types.NamespacedName{Namespace: o.PodNamespace, Name: o.PodName})
				},
			})
		})
	}
	if o.MetricsAddress != "" {
		pulse := probes.NewPulse(map[string]func(context.Context){
			"handlers":  handlers.Beat,
			"inventory": inv.Beat,
			"requests":  asker.Beat,
			"claims":    func(context.Context) { books.Claims() },
			"instances": func(context.Context) { publisher.Pending() },
			"resources": doors.Beat,
		})
		g.Go(func() error {
			return probes.Serve(ctx, probes.Options{
				Address: o.MetricsAddress,
				Metrics: promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}),
				Ready:   func() error { return ready(handlers, asker) },
				Alive:   func() error { return pulse.Check(ctx) },
			})
		})
	}
	o.Logger.Info("agent started", "node", o.Node, "handlers", o.HandlersDir)
	return g.Wait()
}

// ready says why the agent does not do its work yet. An agent that cannot reach
// the API server does, if a checkpoint says what to look for.
func ready(handlers *registry.Registry, asker *requests.Asker) error {
	switch {
	case handlers.Serving() != nil:
		return fmt.Errorf("discovery handlers cannot register: %w", handlers.Serving())
	case !asker.Started():
		return errors.New("the Configurations are not known yet: the API server has not answered, and there is no checkpoint")
	}
	return nil
}

// adopt takes over the devices that the API server knows and the checkpoint does
// not, once the Configurations are known.
func adopt(ctx context.Context, asker *requests.Asker, publisher *publish.Publisher, inv *inventory.Inventory) error {
	select {
	case <-asker.Synced:
	case <-ctx.Done():
		return nil
	}
	devices, err := publisher.Adopt(ctx)
	if err != nil {
		return nil // ctx is done
	}
	inv.Adopt(devices)
	return nil
}

// bootID identifies the boot of the kernel; "" if /proc has no id.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
