package broker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxConfigurations bounds the series of a Latency: further Configurations
	// share the label otherConfigurations.
	maxConfigurations   = 100
	otherConfigurations = "(other)"
)

// Latency is the metric akri_instance_to_broker_seconds: the time from the
// creation of an Instance to its first running broker Pod. It counts Instances
// that were created while this controller was the leader and whose broker it
// created itself. Job brokers are not counted.
type Latency struct {
	seconds *prometheus.HistogramVec

	mu    sync.Mutex
	known map[string]bool
}

var _ prometheus.Collector = (*Latency)(nil)

// NewLatency returns an empty metric.
func NewLatency() *Latency {
	return &Latency{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "akri_instance_to_broker_seconds",
			Help:    "Time from the creation of an Instance to its first broker Pod running.",
			Buckets: []float64{0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600},
		}, []string{"configuration"}),
		known: map[string]bool{},
	}
}

// Describe implements prometheus.Collector.
func (l *Latency) Describe(ch chan<- *prometheus.Desc) { l.seconds.Describe(ch) }

// Collect implements prometheus.Collector.
func (l *Latency) Collect(ch chan<- prometheus.Metric) { l.seconds.Collect(ch) }

// observe adds one Instance of a Configuration. A nil Latency ignores it.
func (l *Latency) observe(configuration string, took time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if !l.known[configuration] && len(l.known) >= maxConfigurations {
		configuration = otherConfigurations
	} else {
		l.known[configuration] = true
	}
	l.mu.Unlock()
	l.seconds.WithLabelValues(configuration).Observe(took.Seconds())
}

// firstRun measures the time until the first broker of an Instance runs.
type firstRun struct {
	from time.Time // zero: not measured, or done
	made map[types.UID]bool
}

// begin starts measuring an Instance that is seen now for the first time.
// Created has a resolution of one second. Started is since when this controller
// is the leader; older Instances are not measured.
func begin(created, started, now time.Time) firstRun {
	if created.Before(started.Truncate(time.Second)) {
		return firstRun{}
	}
	// It was created within the second that begins at created.
	from := now
	if latest := created.Add(time.Second); latest.Before(from) {
		from = latest
	}
	return firstRun{from: from, made: map[types.UID]bool{}}
}

// add records a Pod that this controller has created.
func (f *firstRun) add(pod types.UID) {
	if !f.from.IsZero() {
		f.made[pod] = true
	}
}

// observe looks at the current brokers, and returns once how long the first one
// took.
func (f *firstRun) observe(pods []Pod, now time.Time) (took time.Duration, ok bool) {
	if f.from.IsZero() {
		return 0, false
	}
	for i := range pods {
		switch {
		case pods[i].Phase == Pending, pods[i].Denied:
		case pods[i].Phase == Running && f.made[pods[i].UID]:
			took = max(0, now.Sub(f.from))
			*f = firstRun{}
			return took, true
		default:
			// It has ended, or another controller created it: the time is
			// unknown.
			*f = firstRun{}
			return 0, false
		}
	}
	return 0, false
}
