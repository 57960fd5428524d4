// Package handlermetrics is what the process of a discovery handler tells
// Prometheus. It writes the text format itself: Prometheus' library would add 3
// MiB to a process that may have 16.
package handlermetrics

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The udev handler's histogram, wherever it runs.
const (
	UdevName = "akri_udev_report_seconds"
	UdevHelp = "Seconds from the arrival of the first uevent (or record of udevd) that changed a list of devices to the list's report."
)

// UdevBuckets returns the bounds of its buckets, in seconds.
func UdevBuckets() []float64 {
	return []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5}
}

// Histogram counts durations. It may be used by several goroutines.
type Histogram struct {
	name, help string
	bounds     []float64

	mu     sync.Mutex
	counts []uint64 // by bound; those beyond are in total alone
	total  uint64
	sum    float64
}

// Udev returns the histogram of the udev handler.
func Udev() *Histogram {
	bounds := UdevBuckets()
	return &Histogram{name: UdevName, help: UdevHelp, bounds: bounds, counts: make([]uint64, len(bounds))}
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seconds := d.Seconds()
	h.total++
	h.sum += seconds
	for i, bound := range h.bounds {
		if seconds <= bound {
			h.counts[i]++
			return
		}
	}
}

func (h *Histogram) write(to *bytes.Buffer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(to, "# HELP %s %s\n# TYPE %[1]s histogram\n", h.name, h.help)
	below := uint64(0)
	for i, bound := range h.bounds {
		below += h.counts[i]
		fmt.Fprintf(to, "%s_bucket{le=\"%s\"} %d\n", h.name, number(bound), below)
	}
	fmt.Fprintf(to, "%s_bucket{le=\"+Inf\"} %d\n%[1]s_sum %[3]s\n%[1]s_count %[2]d\n", h.name, h.total, number(h.sum))
}

// Handler shows the metrics of the process, and these.
func Handler(histograms ...*Histogram) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
		for _, h := range histograms {
			h.write(&text)
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(text.Bytes())
	})
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
