package camera

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of a broker for cameras. akri_frame_count, cameras, cached_frames
// and camera_disconnects are upstream's.
type Metrics struct {
	registry      *prometheus.Registry
	served        prometheus.Counter
	received      prometheus.Counter
	receivedBytes prometheus.Counter
	refused       prometheus.Counter
	disconnects   prometheus.Counter
	cameras       prometheus.Gauge
	viewers       prometheus.Gauge
}

// NewMetrics returns metrics of the pictures of a camera.
func NewMetrics(latest *Latest) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	m.served = counter("akri_frame_count", "Pictures that were sent to clients.")
	m.received = counter("akri_camera_frames_received_total", "Pictures that have come from the camera.")
	m.receivedBytes = counter("akri_camera_bytes_received_total", "Bytes of the pictures that have come from the camera.")
	m.refused = counter("akri_camera_frames_refused_total", "What the camera has sent instead of pictures.")
	m.disconnects = counter("camera_disconnects", "How often the camera was lost, or could not be reached.")
	m.cameras = gauge("cameras", "1 while the camera gives pictures.")
	m.viewers = gauge("akri_camera_viewers", "Clients to which pictures are sent.")
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cached_frames", Help: "1 while there is a picture; there are never more."},
		func() float64 {
			if _, ok := latest.Last(); ok {
				return 1
			}
			return 0
		}))
	m.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *Metrics) connected(is bool) {
	if is {
		m.cameras.Set(1)
	} else {
		m.cameras.Set(0)
	}
}
