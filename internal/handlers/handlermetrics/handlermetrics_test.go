package handlermetrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What is written is what Prometheus' library writes.
func TestAsTheLibrary(t *testing.T) {
	d := Definition{Name: "x_seconds", Help: "Seconds of x.", Buckets: []float64{0.0005, 0.001, 0.0025, 1, 5}}
	var ours Metrics
	observe, err := ours.Histogram(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Histogram(d); err == nil {
		t.Error("two histograms have one name")
	}
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.Buckets})
	for _, d := range []time.Duration{0, 500 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 3 * time.Second, time.Hour} {
		observe(d)
		theirs.Observe(d.Seconds())
	}
	c := CounterDefinition{Name: "x_total", Help: "How many x.", Label: "why", Values: []string{"one", "two"}}
	count, err := ours.Counter(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Counter(c); err == nil {
		t.Error("two counters have one name")
	}
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: c.Name, Help: c.Help}, []string{c.Label})
	counted.WithLabelValues("one").Add(0)
	for range 3 {
		count("two")
		count("none of these")
		counted.WithLabelValues("two").Inc()
	}
	r := prometheus.NewRegistry()
	r.MustRegister(theirs, counted)
	want := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(want, httptest.NewRequest("GET", "/metrics", nil))
	got := httptest.NewRecorder()
	ours.ServeHTTP(got, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.HasSuffix(got.Body.String(), want.Body.String()) {
		t.Errorf("got\n%s\nwant at the end\n%s", got.Body, want.Body)
	}
	if a, b := got.Header().Get("Content-Type"), want.Header().Get("Content-Type"); !strings.HasPrefix(b, a) {
		t.Errorf("content type %q, the library's is %q", a, b)
	}
	for _, name := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"} {
		if !strings.Contains(got.Body.String(), "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}
