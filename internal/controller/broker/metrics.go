package broker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// Collector provides the metric akri_broker_pod_count: the broker Pods that
// have not ended, by Configuration and node. It counts from the cache at each
// scrape, so it cannot drift.
type Collector struct {
	pods    client.Reader
	elected <-chan struct{}
	log     *slog.Logger
	desc    *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector that reads Pods from a cache. It reports
// nothing until elected is closed, so only one replica counts.
func NewCollector(pods client.Reader, elected <-chan struct{}, log *slog.Logger) *Collector {
	return &Collector{
		pods: pods, elected: elected, log: log,
		desc: prometheus.NewDesc("akri_broker_pod_count", "Broker Pods that have not ended.",
			[]string{"configuration", "node"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	select {
	case <-c.elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	list := &corev1.PodList{}
	if err := c.pods.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		c.log.Warn("count broker Pods", "error", err)
		return
	}
	type key struct{ configuration, node string }
	count := map[key]int{}
	for i := range list.Items {
		pod := &list.Items[i]
		ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
		if workload.OwnerInstance(pod) == nil || ended {
			continue
		}
		count[key{pod.Labels[v0.LabelConfiguration], podNode(pod, nil)}]++
	}
	for k, n := range count {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), k.configuration, k.node)
	}
}
