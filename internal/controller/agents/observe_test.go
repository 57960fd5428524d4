package agents

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestObserve(t *testing.T) {
	// Each step is what the Leases are after a while: "node=version …", or "-"
	// if nobody could look.
	type step struct {
		after  time.Duration
		leases string
		want   string // changed nodes, with ! if they are silent now
	}
	every := func(d time.Duration, n int, leases string) (steps []step) {
		for range n {
			steps = append(steps, step{d, leases, ""})
		}
		return steps
	}
	join := func(parts ...[]step) (all []step) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"renewed", join(every(10*time.Second, 1, "a=1"), every(10*time.Second, 1, "a=2"), every(10*time.Second, 1, "a=3"), every(10*time.Second, 2, "a=4"))},
		{"falls silent, speaks again", join(every(5*time.Second, 1, "a=1 b=1"), every(5*time.Second, 1, "a=1 b=2"), every(5*time.Second, 4, "a=1 b=3"),
			[]step{{5 * time.Second, "a=1 b=4", "a!"}, {5 * time.Second, "a=1 b=4", ""}, {5 * time.Second, "a=2 b=5", "a"}})},
		{"its Lease is deleted", join(every(5*time.Second, 1, "a=1"), every(5*time.Second, 5, ""), []step{{5 * time.Second, "", "a!"}})},
		{"never had one", every(10*time.Second, 10, "")},
		{"a controller that has just begun gives time", join(every(5*time.Second, 6, "a=1"), []step{{5 * time.Second, "a=1", "a!"}})},
		{"nobody could look for a while", join(every(5*time.Second, 5, "a=1"), []step{{time.Minute, "a=1", ""}}, every(5*time.Second, 5, "a=1"),
			[]step{{5 * time.Second, "a=1", "a!"}, {time.Hour, "a=1", ""}})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b beats
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, s := range tt.steps {
				now = now.Add(s.after)
				leases := map[string]string{}
				for _, f := range strings.Fields(s.leases) {
					node, version, _ := strings.Cut(f, "=")
					leases[node] = version
				}
				var got []string
				for _, n := range b.observe(leases, now) {
					if _, is := b.silent()[n]; is {
						n += "!"
					}
					got = append(got, n)
				}
				if text := strings.Join(got, " "); text != s.want {
					t.Errorf("step %d, at %s: %q, want %q", i, now.Format(time.TimeOnly), text, s.want)
				}
			}
		})
	}
}

func TestNames(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("n%02d", i))
	}
	if got := Names(many); got != "n00, n01, n02, n03, n04 and 95 more" {
		t.Error(got)
	}
}
