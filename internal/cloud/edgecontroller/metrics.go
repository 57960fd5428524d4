package edgecontroller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the controller's. No label is what a node says.
type metrics struct {
	grants, delay, callWait, callTime, leaseLate prometheus.Histogram
	refused, calls, kept, leases                 *prometheus.CounterVec
	overflows, equal, tooLarge, strange, dropped prometheus.Counter
	dirty, waiting                               prometheus.Gauge
}

// seconds are buckets for what takes from milliseconds to a minute.
var seconds = []float64{0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60}

func newMetrics(r prometheus.Registerer, c *Controller) (*metrics, error) {
	var all []prometheus.Collector
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "edgecontroller_" + name, Help: help, Buckets: seconds})
		all = append(all, h)
		return h
	}
	counter := func(name, help string) prometheus.Counter {
		n := prometheus.NewCounter(prometheus.CounterOpts{Name: "edgecontroller_" + name, Help: help})
		all = append(all, n)
		return n
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		n := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edgecontroller_" + name, Help: help}, []string{label})
		all = append(all, n)
		return n
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "edgecontroller_" + name, Help: help})
		all = append(all, g)
		return g
	}
	read := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "edgecontroller_" + name, Help: help}, f))
	}
	total := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "edgecontroller_" + name, Help: help}, f))
	}
	m := &metrics{
		grants: histogram("grant_seconds", "Seconds from an interest's turn to the API server's decision about it."),
		delay: histogram("put_seconds",
			"Seconds from a change that the index heard of until the edge node's queue took it."),
		callWait:  histogram("call_wait_seconds", "Seconds that calls waited for their turn."),
		callTime:  histogram("call_seconds", "Seconds that the API server took for calls."),
		leaseLate: histogram("lease_late_seconds", "Seconds from when a node's Lease was due until it was renewed."),
		refused:   vector("interests_refused_total", "Interests that were refused, by HTTP code.", "code"),
		calls:     vector("calls_total", "Replies to calls, by HTTP code.", "code"),
		kept: vector("kept_total",
			"Objects that cloudcore has changed: Nodes labelled, Pods without tolerationSeconds.", "kind"),
		leases: vector("lease_renewals_total", "Renewals of nodes' Leases, by result.", "result"),
		overflows: counter("overflows_total",
			"Interests that had so many changes that the edge node was asked what it has."),
		equal:    counter("digests_equal_total", "Interests of which the edge node had all."),
		tooLarge: counter("objects_too_large_total", "Objects that were not sent because of their size."),
		strange:  counter("messages_strange_total", "Messages that edge nodes must not send."),
		dropped:  counter("calls_dropped_total", "Calls that were not answered because too many waited."),
		dirty:    gauge("dirty_objects", "Objects that have changed and wait to be sent, of all sessions."),
		waiting:  gauge("calls_waiting", "Calls that wait for those before them, of all sessions."),
	}
	read("watches", "Watches at the API server, of all nodes together.",
		func() float64 { return float64(c.index.Stats().Feeds) })
	read("index_objects", "Objects that the index knows.", func() float64 { return float64(c.index.Stats().Objects) })
	read("cache_bytes", "Bytes of objects that are kept.", func() float64 { return float64(c.index.Stats().CacheBytes) })
	read("leases_overdue", "Nodes whose Lease should have been renewed.", func() float64 {
		overdue, _ := c.leases.Due()
		return float64(overdue)
	})
	read("nodes_limited", "1 if the API server was seen to hold edge nodes to what is theirs, else 0.", func() float64 {
		if c.limited.Load() {
			return 1
		}
		return 0
	})
	total("lists_total", "Lists that were read at the API server.",
		func() float64 { return float64(c.index.Stats().Lists) })
	total("reads_total", "Objects that were read again because they were not kept.",
		func() float64 { return float64(c.index.Stats().Reads) })
	total("reviews_total", "SubjectAccessReviews that were made.", func() float64 {
		asked, _ := c.grants.Stats()
		return float64(asked)
	})
	if r == nil {
		return m, nil
	}
	for _, of := range all {
		if err := r.Register(of); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// renewed counts the renewal of a Lease.
func (m *metrics) renewed(late time.Duration, err error) {
	if err != nil {
		m.leases.WithLabelValues("error").Inc()
		return
	}
	m.leases.WithLabelValues("ok").Inc()
	m.leaseLate.Observe(late.Seconds())
}
