package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

func TestFirstRun(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
	}
	pod := func(uid types.UID, phase Phase) Pod { return Pod{UID: uid, Phase: phase} }
	denied := pod("p", Ended)
	denied.Denied = true
	for _, tt := range []struct {
		name                   string
		created, started, seen float64
		made                   []types.UID
		looks                  [][]Pod // at seconds 3, 4, 5…
		want                   []time.Duration
	}{
		{"the usual", 1, 0, 1.25, []types.UID{"p"}, [][]Pod{nil, {pod("p", Pending)}, {pod("p", Running)}, {pod("p", Running)}},
			[]time.Duration{3750 * time.Millisecond}},
		{"seen late: at the end of the second of its creation", 1, 0, 2.9, []types.UID{"p"}, [][]Pod{{pod("p", Running)}},
			[]time.Duration{time.Second}},
		{"made in the second of our start", 1, 1.5, 1.75, []types.UID{"p"}, [][]Pod{{pod("p", Running)}},
			[]time.Duration{1250 * time.Millisecond}},
		{"older than we", 1, 2.5, 2.5, []types.UID{"p"}, [][]Pod{{pod("p", Running)}}, nil},
		{"a Pod of another controller", 1, 0, 1, nil, [][]Pod{{pod("p", Running)}}, nil},
		{"it ended before we saw it run", 1, 0, 1, []types.UID{"p", "q"}, [][]Pod{{pod("p", Ended)}, {pod("q", Running)}}, nil},
		{"the first was denied", 1, 0, 1, []types.UID{"p", "q"}, [][]Pod{{denied}, {denied, pod("q", Running)}},
			[]time.Duration{3 * time.Second}},
		{"the clock was set back", 9, 0, 9, []types.UID{"p"}, [][]Pod{{pod("p", Running)}}, []time.Duration{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := begin(at(tt.created), at(tt.started), at(tt.seen))
			for _, uid := range tt.made {
				f.add(uid)
			}
			var got []time.Duration
			for i, pods := range tt.looks {
				if took, ok := f.observe(pods, at(float64(3+i))); ok {
					got = append(got, took)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("have %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLatencyIsBounded(t *testing.T) {
	l := NewLatency()
	for i := range 10 * maxConfigurations {
		l.observe(fmt.Sprint("c", i), time.Second)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(l); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	var count uint64
	for _, m := range families[0].GetMetric() {
		count += m.GetHistogram().GetSampleCount()
	}
	if n := len(families[0].GetMetric()); n != maxConfigurations+1 || count != 10*maxConfigurations {
		t.Errorf("%d series with %d samples, want %d with %d", n, count, maxConfigurations+1, 10*maxConfigurations)
	}
	(*Latency)(nil).observe("c", time.Second)
}
