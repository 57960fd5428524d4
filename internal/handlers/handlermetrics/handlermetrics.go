// Package handlermetrics has the Prometheus metrics of a discovery handler's
// process. It writes the text format itself: Prometheus' library would add 3
// MiB to a process that may have 16.
package handlermetrics

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

func (c *counter) write(to *bytes.Buffer) {
	fmt.Fprintf(to, "# HELP %s %s\n# TYPE %[1]s counter\n", c.Name, c.Help)
	for _, v := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(to, "%s{%s=%q} %d\n", c.Name, c.Label, v, c.counts[v].Load())
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

func (h *histogram) write(to *bytes.Buffer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(to, "# HELP %s %s\n# TYPE %[1]s histogram\n", h.Name, h.Help)
	below := uint64(0)
	for i, bound := range h.Buckets {
		below += h.counts[i]
		fmt.Fprintf(to, "%s_bucket{le=\"%s\"} %d\n", h.Name, number(bound), below)
	}
	fmt.Fprintf(to, "%s_bucket{le=\"+Inf\"} %d\n%[1]s_sum %[3]s\n%[1]s_count %[2]d\n", h.Name, h.total, number(h.sum))
}

// ServeHTTP writes the metrics in Prometheus' text format.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	one := func(name, kind, help string, value float64) {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %[1]s %[3]s\n%[1]s %[4]s\n", name, help, kind, number(value))
	}
	one("go_goroutines", "gauge", "Number of goroutines that currently exist.", float64(runtime.NumGoroutine()))
	if pages, ok := residentPages(); ok {
		one("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", float64(pages*os.Getpagesize()))
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		seconds := time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
		one("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", seconds)
	}
	m.mu.Lock()
	histograms, counters := slices.Clone(m.histograms), slices.Clone(m.counters)
	m.mu.Unlock()
	for _, h := range histograms {
		h.write(&text)
	}
	for _, c := range counters {
		c.write(&text)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(text.Bytes())
}

func residentPages() (pages int, ok bool) {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscanf(string(raw), "%d %d", new(int), &pages)
	return pages, err == nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
