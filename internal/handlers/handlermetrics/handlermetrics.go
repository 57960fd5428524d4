// Package handlermetrics holds the metrics of discovery handlers, for programs
// that run them: akri-discovery, or an agent that has them built in.
package handlermetrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Udev registers the metrics of the udev handler and returns what is to be its
// Reported hook.
func Udev(r prometheus.Registerer) (reported func(took time.Duration), err error) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "akri_udev_report_seconds",
		Help:    "Seconds from the arrival of the first uevent (or record of udevd) that changed a list of devices to the list's report.",
		Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5},
	})
	if err := r.Register(h); err != nil {
		return nil, err
	}
	return func(took time.Duration) { h.Observe(took.Seconds()) }, nil
}
