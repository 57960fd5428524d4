package dashboard

import (
	"maps"
	"slices"
	"testing"

	"github.com/akri-go/akri/internal/dashboard/board"
	"github.com/akri-go/akri/internal/dashboard/feed"
)

// watching is a follower that has begun watches, by their kinds.
type watching map[string]uint64

func (w watching) Kinds() []string            { return slices.Sorted(maps.Keys(w)) }
func (w watching) Watches(kind string) uint64 { return w[kind] }
func (w watching) Reachable() bool            { return len(w) > 0 }

func TestMetrics(t *testing.T) {
	f := feed.New(1)
	r, err := newRegistry(watching{"Pods": 3, "Nodes": 1}, f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put([]board.Entry{{Key: "a", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	v, _ := f.Join()
	f.Join()
	bytes := len(v.Take())
	want := map[string]float64{
		"akri_dashboard_browsers": 1, "akri_dashboard_browsers_refused_total": 1, "akri_dashboard_messages_total": 1,
		"akri_dashboard_message_bytes_total": float64(bytes), "akri_dashboard_versions_skipped_total": 0,
		"akri_dashboard_watches_total Nodes": 1, "akri_dashboard_watches_total Pods": 3, "akri_api_server_reachable": 1,
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, family := range families {
		names[family.GetName()] = true
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			expected, ok := want[name]
			if !ok {
				continue // of the process and of Go
			}
			if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != expected {
				t.Errorf("%s is %g, want %g", name, got, expected)
			}
			delete(want, name)
		}
	}
	if len(want) > 0 || !names["go_goroutines"] || !names["process_resident_memory_bytes"] {
		t.Errorf("there are no %v, or none of the process", want)
	}
}
