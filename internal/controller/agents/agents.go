// Package agents knows which agents respond.
//
// An agent renews a Lease in the namespace of the release every 10 s
// (internal/agent/heartbeat). One whose Lease has stood still for 30 s is silent:
// it has ended, hangs, or is cut off, and what its node's entries say is old. That
// is said, within 40 s: in conditions (package status), columns and metrics.
// Nothing is deleted for it; package node looks after lost nodes.
//
// A node that never had a Lease says nothing: its agent may be older, or must not
// write one. Leases are listed, by their metadata alone, and not watched: their
// versions are all that counts, and a watch would bring each renewal by itself.
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

// leftOver is how long the Lease of a node that is gone is kept.
const leftOver = 5 * time.Minute

// Watcher looks at the Leases. It is a manager's Runnable that needs leadership.
type Watcher struct {
	// Live reads from the API server, Client writes to it.
	Live   client.Reader
	Client client.Client
	// Namespace is that of the release; empty means that nobody looks.
	Namespace string
	Log       *slog.Logger
	// Changed is told of nodes whose agent has fallen silent or speaks again.
	Changed func(ctx context.Context, nodes []string)
	// Every and Now are for tests; zero is [Every] and time.Now.
	Every time.Duration
	Now   func() time.Time

	mu      sync.Mutex
	beats   beats
	trouble string
}

// Silent tells whether the agent of a node does not respond.
func (w *Watcher) Silent(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.beats.nodes[node].silent
}

// Start looks until ctx is done.
func (w *Watcher) Start(ctx context.Context) error {
	if w.Namespace == "" {
		w.Log.Info("agents that do not respond are not noticed: the namespace of the release is not known; set POD_NAMESPACE")
		return nil
	}
	every := w.Every
	if every == 0 {
		every = Every
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			if w.trouble != err.Error() {
				w.Log.Warn("cannot tell which agents respond", "error", err)
			}
			w.trouble = err.Error()
		} else {
			w.trouble = ""
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
	ctx, cancel := context.WithTimeout(ctx, Every)
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
		if now.Sub(since) >= leftOver {
			errs = append(errs, w.tidy(ctx, node, leases[node] != ""))
		}
	}
	return errors.Join(errs...)
}

// tidy removes the Lease of a node that is gone.
func (w *Watcher) tidy(ctx context.Context, node string, there bool) error {
	err := w.Client.Get(ctx, types.NamespacedName{Name: node}, &corev1.Node{}, client.UnsafeDisableDeepCopy)
	if !apierrors.IsNotFound(err) {
		return err
	}
	if there {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: v0.AgentLease(node)}}
		if err := client.IgnoreNotFound(w.Client.Delete(ctx, lease)); err != nil {
			return fmt.Errorf("delete the Lease of node %s, which is gone: %w", node, err)
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

// Collect implements prometheus.Collector. A replica that does not act has looked
// at nothing and says nothing.
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

// Names returns nodes in words, sorted, the first few of them.
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
