package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/controller/agents"
	"github.com/akri-go/akri/internal/controller/broker"
	"github.com/akri-go/akri/internal/controller/migrate"
	"github.com/akri-go/akri/internal/controller/node"
	"github.com/akri-go/akri/internal/controller/outdated"
	"github.com/akri-go/akri/internal/controller/service"
	"github.com/akri-go/akri/internal/controller/status"
	"github.com/akri-go/akri/internal/controller/view"
)

// LeaseName is the name of the Lease that the acting replica holds.
const LeaseName = "akri-controller"

// Options are what a controller can be told.
type Options struct {
	// Config reaches the API server.
	Config *rest.Config
	Log    *slog.Logger
	// MetricsAddress and ProbeAddress are where to listen; "0" is nowhere.
	MetricsAddress string
	ProbeAddress   string
	// LeaderElection is off if this is the only replica; else the Lease is in
	// Namespace. So are the agents' Leases.
	LeaderElection bool
	Namespace      string
	// NodeGrace says when nodes are lost; see package node.
	NodeGrace node.Grace
	// ResourcesAfter is how long a resource of a Node must have been left
	// over before it is removed; 0 is never.
	ResourcesAfter time.Duration
	// LookAtAgents is the time between two looks at the agents' Leases; 0 is
	// the default.
	LookAtAgents time.Duration
	// Admission is what the webhook is told; nil is no webhook.
	Admission *admission.Options
	// Metrics gets the collectors of this package; nil is no metrics.
	Metrics prometheus.Registerer
}

// New returns a manager that does the controller's work when it is started.
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
	// The API server has its own fair queues; a limit here only adds delay.
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS = -1
	yes, stop := true, 20*time.Second
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cacheOptions,
		Logger:                        logr.FromSlogHandler(o.Log.Handler()),
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.ProbeAddress,
		LeaderElection:                o.LeaderElection,
		LeaderElectionID:              LeaseName,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true, // main ends when the manager does
		GracefulShutdownTimeout:       &stop,
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
	if err := addProbes(mgr); err != nil {
		return nil, err
	}
	if o.Admission != nil {
		if err := admission.Setup(mgr, *o.Admission); err != nil {
			return nil, fmt.Errorf("set up the admission webhook: %w", err)
		}
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
	watcher := &agents.Watcher{Live: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: o.Namespace, Log: log, Every: o.LookAtAgents}
	conditions := &status.Reconcilers{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Log: log, Events: events, Silent: watcher.Silent,
	}
	watcher.Changed = conditions.TouchNodes
	if err := mgr.Add(watcher); err != nil {
		return fmt.Errorf("set up the look at agents: %w", err)
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(watcher); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	refusals := broker.NewRefusals(conditions.Touch)
	conditions.Verdicts = refusals
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
			Events: events, Log: log, Kind: service.OfInstance,
		},
		&service.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: events, Log: log, Kind: service.OfConfiguration,
		},
		conditions,
		&outdated.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: events, Log: log},
		&migrate.Reconciler{Client: mgr.GetClient(), Log: log},
		&node.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
			Events: events, Log: log, Grace: o.NodeGrace,
		},
	}
	if o.ResourcesAfter > 0 {
		parts = append(parts, &node.Resources{Client: mgr.GetClient(), Log: log, After: o.ResourcesAfter})
	}
	for _, p := range parts {
		if err := p.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	return nil
}

// addProbes makes the process alive while it answers, and ready when its cache
// has caught up. A replica that waits for the Lease is ready too.
func addProbes(mgr manager.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add probe: %w", err)
	}
	err := mgr.AddReadyzCheck("cache", func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the cache has not caught up with the API server")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add probe: %w", err)
	}
	return nil
}
