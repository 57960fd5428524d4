package promtext

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What is written is what Prometheus' library writes.
func TestAsTheLibrary(t *testing.T) {
	odd := "a \"quoted\"\nvalue with \\"
	var ours Text
	ours.One("x_bytes", Gauge, "Bytes of x.", 1.5e9)
	ours.Family("x_total", Counter, "How many x.")
	ours.Sample("x_total", 3, "code", "200", "verb", odd)
	ours.Sample("x_total", 0, "code", "404", "verb", "get")

	bytes := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x_bytes", Help: "Bytes of x."})
	bytes.Set(1.5e9)
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x_total", Help: "How many x."}, []string{"code", "verb"})
	total.WithLabelValues("200", odd).Add(3)
	total.WithLabelValues("404", "get").Add(0)
	r := prometheus.NewRegistry()
	r.MustRegister(bytes, total)
	want, got := httptest.NewRecorder(), httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(want, httptest.NewRequest("GET", "/metrics", nil))
	ours.Serve(got)
	if got.Body.String() != want.Body.String() {
		t.Errorf("got\n%s\nwant\n%s", got.Body, want.Body)
	}
	if a, b := got.Header().Get("Content-Type"), want.Header().Get("Content-Type"); !strings.HasPrefix(b, a) {
		t.Errorf("content type %q, the library's is %q", a, b)
	}
}

func TestProcess(t *testing.T) {
	var text Text
	text.Process()
	for _, name := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"} {
		if !strings.Contains(text.String(), "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}
