// Package metrics has the agent's Prometheus metrics. docs/metrics.md describes
// them.
//
// Devices and handlers are counted when Prometheus asks, so their numbers
// cannot drift. The steps of the agent report the rest through hooks. Labels
// are names of Configurations and handlers. A series is removed with the last
// Configuration that it is about, so the Configurations bound their number, and
// the registry's limits that of registered handlers.
package metrics

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/deviceplugin"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/publish"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
)

// Results of upstream's akri_discovery_response_result.
const (
	success = "Success"
	fail    = "Fail"
)

// Metrics holds the series of one agent.
type Metrics struct {
	responseTime   *prometheus.HistogramVec
	responseResult *prometheus.CounterVec
	published      prometheus.Histogram
	writes         *prometheus.HistogramVec
	claims         *prometheus.CounterVec
	refusals       *prometheus.CounterVec

	mu sync.Mutex
	// configurations and handlers are those that may have series; nil before the
	// Configurations are known, when all may.
	configurations, handlers map[string]bool
	// early are those that got series before that.
	early struct{ configurations, handlers map[string]bool }
}

// NewRegistry returns a registry with the metrics of the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Histogram returns the function that adds histograms of built-in handlers to a
// registry.
func Histogram(r prometheus.Registerer) func(handlermetrics.Definition) (observe func(time.Duration), err error) {
	return func(d handlermetrics.Definition) (func(time.Duration), error) {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.Buckets})
		if err := r.Register(h); err != nil {
			return nil, err
		}
		return func(took time.Duration) { h.Observe(took.Seconds()) }, nil
	}
}

// Counter returns what adds counters of the built-in handlers to a registry.
func Counter(r prometheus.Registerer) func(handlermetrics.CounterDefinition) (count func(value string), err error) {
	return func(d handlermetrics.CounterDefinition) (func(string), error) {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, []string{d.Label})
		if err := r.Register(c); err != nil {
			return nil, err
		}
		byValue := make(map[string]prometheus.Counter, len(d.Values))
		for _, v := range d.Values {
			byValue[v] = c.WithLabelValues(v)
		}
		return func(value string) {
			if c := byValue[value]; c != nil {
				c.Inc()
			}
		}, nil
	}
}

// Counted is what is counted when Prometheus asks.
type Counted struct {
	Devices   func() []inventory.Tally
	Endpoints func() map[string]int // by handler name
	APIServer func() bool           // can it be reached?
}

// New registers the metrics of an agent with r.
func New(r prometheus.Registerer, c Counted) (*Metrics, error) {
	m := &Metrics{
		responseTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "akri_discovery_response_time",
			Help:    "Seconds from asking a discovery handler to its first answer.",
			Buckets: []float64{0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 60},
		}, []string{"configuration"}),
		responseResult: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "akri_discovery_response_result",
			Help: "Calls of discovery handlers, by whether they brought an answer.",
		}, []string{"discovery_handler_name", "result"}),
		published: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "akri_instance_publish_seconds",
			Help:    "Seconds from a handler's report to the Instance that says so, written.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120},
		}),
		writes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "akri_instance_write_seconds",
			Help:    "Seconds that one write of an Instance took at the API server; only writes that succeeded.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5},
		}, []string{"verb"}),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "akri_slot_claims_total",
			Help: "Slots that the kubelet asked for, by what became of the call.",
		}, []string{"result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "akri_discovery_handler_refusals_total",
			Help: "Registrations of discovery handlers that were refused.",
		}, []string{"reason"}),
	}
	m.early.configurations, m.early.handlers = map[string]bool{}, map[string]bool{}
	// Series whose labels are known start at zero.
	for _, result := range []string{granted, denied} {
		m.claims.WithLabelValues(result)
	}
	for _, reason := range []string{registry.NotPermitted, registry.Malformed, registry.Mixed, registry.TooMany} {
		m.refusals.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{
		m.responseTime, m.responseResult, m.published, m.writes, m.claims, m.refusals, newCollector(c),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// SetConfigurations brings the Configurations of the cluster; series of others
// are dropped.
func (m *Metrics) SetConfigurations(all []*v0.Configuration) {
	configurations, handlers := make(map[string]bool, len(all)), map[string]bool{}
	for _, c := range all {
		configurations[c.Name] = true
		handlers[c.Spec.DiscoveryHandler.Name] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.configurations == nil {
		// An agent that starts from its checkpoint gets answers before it knows
		// the Configurations.
		m.configurations, m.handlers = m.early.configurations, m.early.handlers
	}
	drop(m.responseTime.MetricVec, "configuration", m.configurations, configurations)
	drop(m.responseResult.MetricVec, "discovery_handler_name", m.handlers, handlers)
	for name := range handlers { // from zero, so that Prometheus sees the first increase
		m.responseResult.WithLabelValues(text(name), success)
		m.responseResult.WithLabelValues(text(name), fail)
	}
	m.configurations, m.handlers = configurations, handlers
}

// drop removes the series of names that no longer exist.
func drop(series *prometheus.MetricVec, label string, before, now map[string]bool) {
	for name := range before {
		if !now[name] {
			series.DeletePartialMatch(prometheus.Labels{label: text(name)})
		}
	}
}

// Answered is [registry.Options.Answered].
func (m *Metrics) Answered(a registry.Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// A call may end after its Configuration was deleted.
	if m.configurations != nil && !m.configurations[a.Configuration.Name] || m.handlers != nil && !m.handlers[a.Handler] {
		return
	}
	if m.configurations == nil {
		m.early.configurations[a.Configuration.Name], m.early.handlers[a.Handler] = true, true
	}
	if a.Err != nil {
		m.responseResult.WithLabelValues(text(a.Handler), fail).Inc()
		return
	}
	m.responseResult.WithLabelValues(text(a.Handler), success).Inc()
	m.responseTime.WithLabelValues(a.Configuration.Name).Observe(a.Took.Seconds())
}

// Refused is [registry.Options.Refused].
func (m *Metrics) Refused(r registry.Refusal) { m.refusals.WithLabelValues(r.Reason).Inc() }

// Published is [publish.Options.Published].
func (m *Metrics) Published(took time.Duration) { m.published.Observe(took.Seconds()) }

// Written is [publish.Options.Written].
func (m *Metrics) Written(_ types.NamespacedName, verb publish.Verb, took time.Duration) {
	m.writes.WithLabelValues(string(verb)).Observe(took.Seconds())
}

const (
	granted = "granted"
	denied  = "denied"
)

// Allocated is [deviceplugin.Options.Allocated].
func (m *Metrics) Allocated(a deviceplugin.Allocation) {
	result := granted
	if a.Err != nil {
		result = denied
	}
	m.claims.WithLabelValues(result).Add(float64(len(a.Slots)))
}

// text returns a valid label value: UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
