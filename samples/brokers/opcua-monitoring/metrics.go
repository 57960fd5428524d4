package main

import (
	"math"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/akri-go/akri/samples/brokers"
)

type metrics struct {
	registry           *prometheus.Registry
	received, served   prometheus.Counter
	disconnects        prometheus.Counter
	connected, clients prometheus.Gauge
}

func newMetrics(latest *brokers.Latest[reading]) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
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
	m.received = counter("akri_opcua_values_received_total", "Values that have come from the server.")
	m.served = counter("akri_opcua_values_served_total", "Values that were sent to clients.")
	m.disconnects = counter("akri_opcua_disconnects_total", "How often the server was lost, or could not be reached.")
	m.connected = gauge("akri_opcua_connected", "1 while the server gives values.")
	m.clients = gauge("akri_opcua_clients", "Clients to which values are sent.")
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "akri_opcua_value", Help: "The node's newest value; NaN if there is none."},
		func() float64 {
			if r := latest.Last().Value; r.err == nil {
				return r.value
			}
			return math.NaN()
		}))
	m.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
