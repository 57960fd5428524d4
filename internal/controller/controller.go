package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/controller/agents"
	"github.com/akri-go/akri/internal/controller/broker"
	"github.com/akri-go/akri/internal/controller/migrate"
	"github.com/akri-go/akri/internal/controller/node"
	"github.com/akri-go/akri/internal/controller/outdated"
	"github.com/akri-go/akri/internal/controller/service"
	"github.com/akri-go/akri/internal/controller/status"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/probes"
)

// Options configure a controller.
type Options struct {
	// Config is how to reach the API server.
	Config *rest.Config
	Log    *slog.Logger
	// MetricsAddress and ProbeAddress are listen addresses; "0" means none.
	MetricsAddress string
	ProbeAddress   string
	// LeaderElection is false if this is the only replica. Namespace is where
	// its Lease is, and those of the agents.
	LeaderElection bool
	Namespace      string
	// LeaseDuration is how long other replicas wait for a leader that no longer
	// renews its Lease; 0 is DefaultLeaseDuration.
	LeaseDuration time.Duration
	// Pod is where the controller runs; if empty, the Lease has no owner.
	Pod Pod
	// NodeGrace says when nodes are lost; see package node.
	NodeGrace node.Grace
	// ResourceRetention is how long a left-over resource of a Node is kept
	// before it is removed; 0 is for ever.
	ResourceRetention time.Duration
	// AgentLookInterval is how often the agents' Leases are checked; 0 is the
	// default.
	AgentLookInterval time.Duration
	// Webhook adds the admission webhook to the manager, and returns a function
	// that says why it is not ready. Nil means no webhook.
	Webhook func(manager.Manager) (ready func() error, err error)
	// Metrics registers the collectors of this package; nil means no metrics.
	Metrics prometheus.Registerer
}

// New returns a manager that runs the controller.
func New(ctx context.Context, o Options) (manager.Manager, error) {
	scheme, err := view.Scheme()
	if err != nil {
		return nil, err
	}
	cacheOptions, err := view.CacheOptions()
	if err != nil {
		return nil, err
	}
	if o.LeaderElection && o.Namespace == "" {
		return nil, errors.New("leader election needs a namespace for its Lease: set POD_NAMESPACE or --namespace, or switch it off")
	}
	// The API server does its own flow control; a limit here only adds delay.
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS = -1
	lease := cmp.Or(o.LeaseDuration, DefaultLeaseDuration)
	deadline, retry := renewal(lease)
	var lock resourcelock.Interface // nil is one of the library's
	if o.LeaderElection && o.Pod != (Pod{}) {
		if lock, err = newLock(cfg, o.Namespace, o.Pod, deadline); err != nil {
			return nil, err
		}
	}
	yes, stop := true, 20*time.Second
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme,
		Cache:  cacheOptions,
		Logger: logr.FromSlogHandler(o.Log.Handler()),
		// The library's servers have no limits; package probes serves instead.
		Metrics:                             metricsserver.Options{BindAddress: nowhere},
		HealthProbeBindAddress:              nowhere,
		LeaderElection:                      o.LeaderElection,
		LeaderElectionID:                    LeaseName,
		LeaderElectionNamespace:             o.Namespace,
		LeaderElectionReleaseOnCancel:       true, // main ends when the manager does
		LeaderElectionResourceLockInterface: lock,
		LeaseDuration:                       &lease, RenewDeadline: &deadline, RetryPeriod: &retry,
		GracefulShutdownTimeout: &stop,
		Controller: config.Controller{
			// A replica that takes over must not have to list first.
			EnableWarmup: &yes,
			// Names are unique in a manager; tests run several in a process.
			SkipNameValidation: &yes,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	if err := view.Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return nil, err
	}
	latency := broker.NewLatency()
	if err := addReconcilers(mgr, o, latency); err != nil {
		return nil, err
	}
	ready := []func() error{cacheReady(ctx, mgr)}
	if o.Webhook != nil {
		served, err := o.Webhook(mgr)
		if err != nil {
			return nil, fmt.Errorf("set up the admission webhook: %w", err)
		}
		ready = append(ready, served)
	}
	if err := addProbes(ctx, mgr, o, ready); err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		for _, c := range []prometheus.Collector{broker.NewCollector(mgr.GetCache(), mgr.Elected(), o.Log), latency} {
			if err := o.Metrics.Register(c); err != nil {
				return nil, fmt.Errorf("register metrics: %w", err)
			}
		}
	}
	return mgr, nil
}

func addReconcilers(mgr manager.Manager, o Options, latency *broker.Latency) error {
	log := o.Log
	events := mgr.GetEventRecorder("akri-controller")
	watcher := &agents.Watcher{Live: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: o.Namespace, Log: log, LookInterval: o.AgentLookInterval}
	conditions := &status.Reconcilers{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Log: log, Events: events, Silent: watcher.Silent,
	}
	watcher.Changed = conditions.TouchNodes
	if err := mgr.Add(watcher); err != nil {
		return fmt.Errorf("set up the watcher of agents: %w", err)
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(watcher); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	refusals := broker.NewRefusals(conditions.Touch)
	conditions.Verdicts = refusals
	complaints := service.NewComplaints(conditions.Touch)
	conditions.Services = complaints
	type part interface {
		SetupWithManager(ctrl.Manager) error
	}
	parts := []part{
		&broker.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: events, Log: log, Refusals: refusals, Latency: latency,
		},
		&service.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: events, Log: log, Kind: service.OfInstance, Complaints: complaints,
		},
		&service.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: events, Log: log, Kind: service.OfConfiguration, Complaints: complaints,
		},
		conditions,
		&outdated.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: events, Log: log},
		&migrate.Reconciler{Client: mgr.GetClient(), Log: log},
		&node.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: events, Log: log, Grace: o.NodeGrace,
		},
	}
	if o.ResourceRetention > 0 {
		parts = append(parts, &node.Resources{Client: mgr.GetClient(), Log: log, Retention: o.ResourceRetention})
	}
	for _, p := range parts {
		if err := p.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	return nil
}

// nowhere is an address at which nothing listens.
const nowhere = "0"

// addProbes serves metrics and probes in every replica. It is alive while it
// answers, and ready when all checks pass. A replica that waits for the Lease
// is ready too.
func addProbes(ctx context.Context, mgr manager.Manager, o Options, ready []func() error) error {
	served := map[string]probes.Options{}
	if o.MetricsAddress != "" && o.MetricsAddress != nowhere {
		served[o.MetricsAddress] = probes.Options{Address: o.MetricsAddress,
			Metrics: promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})}
	}
	if o.ProbeAddress != "" && o.ProbeAddress != nowhere {
		both := served[o.ProbeAddress]
		both.Address = o.ProbeAddress
		both.Ready = func() error {
			for _, r := range ready {
				if err := r(); err != nil {
					return err
				}
			}
			return nil
		}
		served[o.ProbeAddress] = both
	}
	stop := bounded.Grace
	for _, s := range served {
		listener, server, err := probes.Listen(ctx, s)
		if err != nil {
			return err
		}
		// The manager starts what it calls a server before the cache is filled.
		err = mgr.Add(&manager.Server{Name: "metrics and probes", Server: server, Listener: listener, ShutdownTimeout: &stop})
		if err != nil {
			listener.Close()
			return fmt.Errorf("add metrics and probes: %w", err)
		}
	}
	return nil
}

// cacheReady says whether the cache has caught up.
func cacheReady(ctx context.Context, mgr manager.Manager) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the cache has not caught up with the API server")
		}
		return nil
	}
}
