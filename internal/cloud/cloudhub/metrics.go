package cloudhub

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/session"
)

// metrics are the hub's. No label is what a node says.
type metrics struct {
	openedTotal  prometheus.Counter
	hello        prometheus.Histogram
	endedTotal   *prometheus.CounterVec
	refusedTotal *prometheus.CounterVec
	messages     *prometheus.CounterVec
	waited       *prometheus.HistogramVec
	slowedTotal  prometheus.Counter

	// By kind and lane, so that a message needs no look-up.
	in, out [edgev1.KindReply + 1]prometheus.Counter
	lanes   [edgev1.Lanes]prometheus.Observer
}

func newMetrics(r prometheus.Registerer, sessions func() int, totals *session.Totals) (*metrics, error) {
	m := &metrics{
		openedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cloudhub_sessions_opened_total", Help: "Sessions of edge nodes that began.",
		}),
		hello: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cloudhub_hello_seconds", Help: "Seconds from the WebSocket to the node's Hello and its check.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}),
		endedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudhub_sessions_ended_total", Help: "Sessions that ended, by reason.",
		}, []string{"reason"}),
		refusedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudhub_refused_total", Help: "Connections that did not become a session, by reason.",
		}, []string{"reason"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudhub_messages_total", Help: "Messages, by direction (in: from edge nodes) and kind.",
		}, []string{"direction", "kind"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "cloudhub_send_wait_seconds",
			Help:    "Seconds that messages waited in their lane for the edge node to take them.",
			Buckets: []float64{0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60},
		}, []string{"lane"}),
		slowedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cloudhub_slowed_seconds_total",
			Help: "Seconds that frames of edge nodes waited because they came faster than allowed.",
		}),
	}
	for k := edgev1.KindHello; k <= edgev1.KindReply; k++ {
		m.in[k] = m.messages.WithLabelValues("in", k.String())
		m.out[k] = m.messages.WithLabelValues("out", k.String())
	}
	for l := range edgev1.Lanes {
		m.lanes[l] = m.waited.WithLabelValues(l.String())
	}
	if r == nil {
		return m, nil
	}
	now := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cloudhub_sessions", Help: "Edge nodes that are connected to this replica.",
	}, func() float64 { return float64(sessions()) })
	bytes := func(direction string, n *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cloudhub_bytes_total", Help: "Bytes of all connections, TLS included, by direction (in: from edge nodes).",
			ConstLabels: prometheus.Labels{"direction": direction},
		}, func() float64 { return float64(n.Load()) })
	}
	for _, c := range []prometheus.Collector{
		bytes("in", &totals.Received), bytes("out", &totals.Sent),
		now, m.openedTotal, m.hello, m.endedTotal, m.refusedTotal, m.messages, m.waited, m.slowedTotal,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) opened(after time.Duration) {
	m.openedTotal.Inc()
	m.hello.Observe(after.Seconds())
}

func (m *metrics) ended(reason string) { m.endedTotal.WithLabelValues(reason).Inc() }

func (m *metrics) refused(reason string) { m.refusedTotal.WithLabelValues(reason).Inc() }

func (m *metrics) received(k edgev1.Kind) { m.in[k].Inc() }

func (m *metrics) sent(k edgev1.Kind, l edgev1.Lane, waited time.Duration) {
	m.out[k].Inc()
	m.lanes[l].Observe(waited.Seconds())
}

func (m *metrics) slowed(by time.Duration) { m.slowedTotal.Add(by.Seconds()) }
