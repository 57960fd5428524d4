package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	v0 "github.com/akri-go/akri/api/v0"
)

// collector counts devices and handlers when Prometheus asks.
type collector struct {
	from                                Counted
	instances, devices, handlers, reach *prometheus.Desc
}

func newCollector(from Counted) *collector {
	return &collector{
		from: from,
		instances: prometheus.NewDesc("akri_instance_count",
			"Instances that this node is in.", []string{"configuration", "is_shared"}, nil),
		devices: prometheus.NewDesc("akri_devices",
			"Devices of this node; Offline are those that are missing and whose grace period runs.", []string{"configuration", "state"}, nil),
		handlers: prometheus.NewDesc("akri_discovery_handler_endpoints",
			"Discovery handlers that are registered.", []string{"discovery_handler_name"}, nil),
		reach: prometheus.NewDesc("akri_api_server_reachable",
			"1 if the API server answered of late, else 0.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.instances, c.devices, c.handlers, c.reach} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	type shared struct{ configuration, shared string }
	type state struct{ configuration, state string }
	instances, devices := map[shared]int{}, map[state]int{}
	// For a moment Configurations of one name in two namespaces may both have
	// devices.
	for _, t := range c.from.Devices() {
		name := text(t.Configuration.Name)
		if t.Answered {
			instances[shared{name, strconv.FormatBool(t.Shared)}] += t.Online + t.Offline
		}
		devices[state{name, string(v0.DeviceOnline)}] += t.Online
		devices[state{name, string(v0.DeviceOffline)}] += t.Offline
	}
	for k, n := range instances {
		send(c.instances, n, k.configuration, k.shared)
	}
	for k, n := range devices {
		send(c.devices, n, k.configuration, k.state)
	}
	for name, n := range c.from.Endpoints() {
		send(c.handlers, n, text(name))
	}
	reachable := 0
	if c.from.APIServer() {
		reachable = 1
	}
	send(c.reach, reachable)
}
