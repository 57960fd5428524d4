// Package handlermetrics has the Prometheus metrics of a discovery handler's
// process, in the text format of package promtext: such a process may have 16
// MiB.
package handlermetrics

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akri-go/akri/internal/promtext"
)

// Definition defines a histogram. A handler's histograms have the same names in
// every program that runs it.
type Definition struct {
	Name, Help string
	// Buckets are the upper bounds, in seconds, in rising order.
	Buckets []float64
}

// CounterDefinition says what a counter is, which counts by one label.
type CounterDefinition struct {
	Name, Help, Label string
	// Values are all that the label can have; each is shown from the start.
	Values []string
}

// Metrics are the metrics of one process. The zero value has those of the process
// itself. Metrics may be used by several goroutines.
type Metrics struct {
	mu         sync.Mutex
	histograms []*histogram
	counters   []*counter
}

// Counter adds a counter. Count counts one by the label's value, and nothing if
// that is none of the values; several goroutines may call it.
func (m *Metrics) Counter(d CounterDefinition) (count func(value string), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.counters {
		if c.Name == d.Name {
			return nil, fmt.Errorf("there is a counter %s already", d.Name)
		}
	}
	c := &counter{CounterDefinition: d, counts: make(map[string]*atomic.Uint64, len(d.Values))}
	for _, v := range d.Values {
		c.counts[v] = new(atomic.Uint64)
	}
	m.counters = append(m.counters, c)
	return c.count, nil
}

// counter counts by the values of a label.
type counter struct {
	CounterDefinition

	counts map[string]*atomic.Uint64 // one for each value, never another
}

func (c *counter) count(value string) {
	if n := c.counts[value]; n != nil {
		n.Add(1)
	}
}

func (c *counter) write(to *promtext.Text) {
	to.Family(c.Name, promtext.Counter, c.Help)
	for _, v := range slices.Sorted(maps.Keys(c.counts)) {
		to.Sample(c.Name, float64(c.counts[v].Load()), c.Label, v)
	}
}

// Histogram adds a histogram.
func (m *Metrics) Histogram(d Definition) (observe func(time.Duration), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.histograms {
		if h.Name == d.Name {
			return nil, fmt.Errorf("there is a histogram %s already", d.Name)
		}
	}
	h := &histogram{Definition: d, counts: make([]uint64, len(d.Buckets))}
	m.histograms = append(m.histograms, h)
	return h.observe, nil
}

// histogram counts durations.
type histogram struct {
	Definition

	mu     sync.Mutex
	counts []uint64 // by bucket; values beyond the last are only in total
	total  uint64
	sum    float64
}

func (h *histogram) observe(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seconds := d.Seconds()
	h.total++
	h.sum += seconds
	for i, bound := range h.Buckets {
		if seconds <= bound {
			h.counts[i]++
			return
		}
	}
}

func (h *histogram) write(to *promtext.Text) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to.Family(h.Name, promtext.Histogram, h.Help)
	below := uint64(0)
	for i, bound := range h.Buckets {
		below += h.counts[i]
		to.Sample(h.Name+"_bucket", float64(below), "le", promtext.Number(bound))
	}
	to.Sample(h.Name+"_bucket", float64(h.total), "le", "+Inf")
	to.Sample(h.Name+"_sum", h.sum)
	to.Sample(h.Name+"_count", float64(h.total))
}

// ServeHTTP writes the metrics in Prometheus' text format.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var text promtext.Text
	text.Process()
	m.mu.Lock()
	histograms, counters := slices.Clone(m.histograms), slices.Clone(m.counters)
	m.mu.Unlock()
	for _, h := range histograms {
		h.write(&text)
	}
	for _, c := range counters {
		c.write(&text)
	}
	text.Serve(w)
}
