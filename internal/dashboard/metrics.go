package dashboard

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/akri-go/akri/internal/dashboard/feed"
)

// watcher counts what it has to do with the API server: a [follow.Follower].
type watcher interface {
	Kinds() []string
	Watches(kind string) uint64
	Reachable() bool
}

// newRegistry returns the metrics of a dashboard, read when Prometheus asks.
func newRegistry(w watcher, f *feed.Feed) (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	err := errors.Join(r.Register(collectors.NewGoCollector()), r.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	gauge := func(name, help string, read func() float64) {
		err = errors.Join(err, r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)))
	}
	counter := func(name, help string, labels prometheus.Labels, read func() uint64) {
		o := prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}
		err = errors.Join(err, r.Register(prometheus.NewCounterFunc(o, func() float64 { return float64(read()) })))
	}
	gauge("akri_dashboard_browsers", "Browsers that look.", func() float64 { return float64(f.Counts().Viewers) })
	counter("akri_dashboard_browsers_refused_total", "Browsers for which there was no place.", nil,
		func() uint64 { return f.Counts().Refused })
	counter("akri_dashboard_messages_total", "Messages for browsers.", nil, func() uint64 { return f.Counts().Messages })
	counter("akri_dashboard_message_bytes_total", "Bytes of messages for browsers.", nil, func() uint64 { return f.Counts().Bytes })
	counter("akri_dashboard_versions_skipped_total", "Changes that a browser got together with later ones, since it was slow.", nil,
		func() uint64 { return f.Counts().Skipped })
	for _, kind := range w.Kinds() {
		counter("akri_dashboard_watches_total", "Watches that have begun at the API server.", prometheus.Labels{"kind": kind},
			func() uint64 { return w.Watches(kind) })
	}
	gauge("akri_api_server_reachable", "1 if the API server answers, else 0.", func() float64 {
		if w.Reachable() {
			return 1
		}
		return 0
	})
	return r, err
}
