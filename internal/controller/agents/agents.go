// Package agents finds out which agents respond.
//
// Every 10 s an agent renews a Lease in the namespace of the release
// (internal/agent/heartbeat). If the Lease does not change for 30 s, the agent
// is silent: it has ended, hangs, or is cut off, and what it wrote into
// status.nodes is out of date. Conditions (package status), columns and metrics
// say so within 40 s. Nothing is deleted; lost nodes are package node's
// business.
//
// A node that never had a Lease is not silent: its agent may be older than
// Leases, or may not write them. The Leases are listed as metadata and not
// watched: only their versions matter, and a watch would deliver each renewal.
package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// leaseRetention is how long the Lease of a deleted node is kept.
const leaseRetention = 5 * time.Minute

// Watcher watches the Leases. It is a manager's Runnable that needs leadership.
type Watcher struct {
	// Live reads from the API server, Client writes to it.
	Live   client.Reader
	Client client.Client
	// Namespace is the release's; if it is empty, nothing is watched.
	Namespace string
	Log       *slog.Logger
	// Changed is called with the nodes whose agent fell silent or responds
	// again.
	Changed func(ctx context.Context, nodes []string)
	// LookInterval and Now are set by tests; zero means [LookInterval] and
	// time.Now.
	LookInterval time.Duration
	Now          func() time.Time

	mu      sync.Mutex
	beats   beats
	problem string
}

// Silent reports whether the agent of a node does not respond.
func (w *Watcher) Silent(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.beats.nodes[node].silent
}

// Start watches the Leases until ctx is done.
func (w *Watcher) Start(ctx context.Context) error {
	if w.Namespace == "" {
		w.Log.Info("agents that do not respond go unnoticed: the release's namespace is unknown; set POD_NAMESPACE")
		return nil
	}
	every := w.LookInterval
	if every == 0 {
		every = LookInterval
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			if w.problem != err.Error() {
				w.Log.Warn("cannot tell which agents respond", "error", err)
			}
			w.problem = err.Error()
		} else {
			w.problem = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Watcher) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}

func (w *Watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, LookInterval)
	defer cancel()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(coordinationv1.SchemeGroupVersion.WithKind("LeaseList"))
	if err := w.Live.List(ctx, list, client.InNamespace(w.Namespace), client.MatchingLabels{v0.LabelAgentLease: "true"}); err != nil {
		return fmt.Errorf("list the Leases of agents: %w", err)
	}
	leases := make(map[string]string, len(list.Items))
	for i := range list.Items {
		if node, ok := v0.AgentOfLease(list.Items[i].Name); ok {
			leases[node] = list.Items[i].ResourceVersion
		}
	}
	now := w.now()
	w.mu.Lock()
	changed := w.beats.observe(leases, now)
	silent := w.beats.silent()
	w.mu.Unlock()
	for _, node := range changed {
		if _, is := silent[node]; is {
			w.Log.Warn("the agent of a node does not respond", "node", node)
		} else {
			w.Log.Info("the agent of a node responds again", "node", node)
		}
	}
	if len(changed) > 0 {
		w.Changed(ctx, changed)
	}
	var errs []error
	for node, since := range silent {
		if now.Sub(since) >= leaseRetention {
			errs = append(errs, w.tidy(ctx, node, leases[node] != ""))
		}
	}
	return errors.Join(errs...)
}

// tidy deletes the Lease of a node that no longer exists.
func (w *Watcher) tidy(ctx context.Context, node string, there bool) error {
	err := w.Client.Get(ctx, types.NamespacedName{Name: node}, &corev1.Node{}, client.UnsafeDisableDeepCopy)
	if !apierrors.IsNotFound(err) {
		return err
	}
	if there {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: v0.AgentLease(node)}}
		if err := client.IgnoreNotFound(w.Client.Delete(ctx, lease)); err != nil {
			return fmt.Errorf("delete the Lease of deleted node %s: %w", node, err)
		}
	}
	w.mu.Lock()
	w.beats.forget(node)
	w.mu.Unlock()
	w.Changed(ctx, []string{node})
	return nil
}

var up = prometheus.NewDesc("akri_agent_up", "1 if the agent of the node has renewed its Lease of late, else 0.", []string{"node"}, nil)

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(ch chan<- *prometheus.Desc) { ch <- up }

// Collect implements prometheus.Collector. A replica that is not the leader
// reports nothing.
func (w *Watcher) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for node, b := range w.beats.nodes {
		value := 1.0
		if b.silent {
			value = 0
		}
		ch <- prometheus.MustNewConstMetric(up, prometheus.GaugeValue, value, node)
	}
}

// Names lists the first few nodes, sorted, and says how many more there are.
func Names(nodes []string) string {
	const few = 5
	nodes = slices.Clone(nodes)
	slices.Sort(nodes)
	text := ""
	for i, n := range nodes {
		if i == few {
			return text + fmt.Sprintf(" and %d more", len(nodes)-few)
		}
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}
