// Package promtext writes metrics in Prometheus' text format, for processes that
// are to be small: Prometheus' library would add 3 MiB to each.
package promtext

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Kinds of metrics.
const (
	Counter   = "counter"
	Gauge     = "gauge"
	Histogram = "histogram"
)

// Text is what a scrape gets. The zero value is empty.
type Text struct{ b bytes.Buffer }

// Family begins a metric; its samples follow.
func (t *Text) Family(name, kind, help string) {
	fmt.Fprintf(&t.b, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", name, help, kind)
}

// Sample adds a value. Labels are names and values in turn.
func (t *Text) Sample(name string, value float64, labels ...string) {
	t.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		t.b.WriteByte(separator)
		t.b.WriteString(labels[i] + `="` + escaper.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 1 {
		t.b.WriteByte('}')
	}
	t.b.WriteString(" " + Number(value) + "\n")
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// One adds a metric that has one value.
func (t *Text) One(name, kind, help string, value float64) {
	t.Family(name, kind, help)
	t.Sample(name, value)
}

// Process adds the metrics of this process itself.
func (t *Text) Process() {
	t.One("go_goroutines", Gauge, "Number of goroutines that currently exist.", float64(runtime.NumGoroutine()))
	if pages, ok := residentPages(); ok {
		t.One("process_resident_memory_bytes", Gauge, "Resident memory size in bytes.", float64(pages*os.Getpagesize()))
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		seconds := time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
		t.One("process_cpu_seconds_total", Counter, "Total user and system CPU time spent in seconds.", seconds)
	}
}

// String is the text.
func (t *Text) String() string { return t.b.String() }

// Serve answers with the text.
func (t *Text) Serve(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(t.b.Bytes()) // the client may have gone
}

// Number is a number as the format has it.
func Number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func residentPages() (pages int, ok bool) {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscanf(string(raw), "%d %d", new(int), &pages)
	return pages, err == nil
}
