package node

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func TestPlanResources(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	type leftOver = map[corev1.ResourceName]LeftOver
	zero := func(d time.Duration) leftOver { return leftOver{"akri.sh/old": {Since: now.Add(-d)}} }
	offered := func(d time.Duration) leftOver { return leftOver{"akri.sh/old": {Since: now.Add(-d), Offered: true}} }
	old := []corev1.ResourceName{"akri.sh/old"}
	for _, tt := range []struct {
		name            string
		capacity, alloc corev1.ResourceList
		before          leftOver
		want            ResourceResult
	}{
		{"nothing of ours", list("cpu", "0", "example.com/old", "0", "akri.shop/old", "0"), nil, nil, ResourceResult{}},
		{"in use", list("akri.sh/known", "2"), list("akri.sh/known", "1"), nil, ResourceResult{}},
		{"an Instance stands for it", list("akri.sh/known", "0"), list("akri.sh/known", "0"),
			leftOver{"akri.sh/known": {Since: now.Add(-time.Hour)}}, ResourceResult{}},
		{"found just now", list("akri.sh/old", "0"), list("akri.sh/old", "0"), nil,
			ResourceResult{LeftOver: zero(0), RequeueAfter: 6 * time.Minute}},
		{"not long enough", list("akri.sh/old", "0"), list("akri.sh/old", "0"), zero(2 * time.Minute),
			ResourceResult{LeftOver: zero(2 * time.Minute), RequeueAfter: 4 * time.Minute}},
		{"the clock was set back", list("akri.sh/old", "0"), nil, zero(-time.Hour),
			ResourceResult{LeftOver: zero(0), RequeueAfter: 6 * time.Minute}},
		{"long enough", list("akri.sh/old", "0", "akri.sh/known", "0", "cpu", "0"), list("akri.sh/old", "0"), zero(6 * time.Minute),
			ResourceResult{Remove: old, LeftOver: zero(6 * time.Minute)}},
		{"the plugin has gone: the kubelet's grace period runs", list("akri.sh/old", "2"), list("akri.sh/old", "0"), offered(6 * time.Minute),
			ResourceResult{LeftOver: offered(6 * time.Minute), RequeueAfter: 12 * time.Minute}},
		{"the kubelet has written 0", list("akri.sh/old", "0"), list("akri.sh/old", "0"), offered(time.Hour),
			ResourceResult{LeftOver: zero(0), RequeueAfter: 6 * time.Minute}},
		{"the kubelet has written it again", list("akri.sh/old", "2"), list("akri.sh/old", "2"), zero(time.Hour),
			ResourceResult{LeftOver: offered(0), RequeueAfter: 18 * time.Minute}},
		{"the kubelet has forgotten to write 0", list("akri.sh/old", "2"), list("akri.sh/old", "2"), offered(18 * time.Minute),
			ResourceResult{Remove: old, LeftOver: offered(18 * time.Minute)}},
		{"of several kinds", list("akri.sh/old", "0"), list("akri.sh/new", "0"), zero(time.Hour),
			ResourceResult{Remove: old, RequeueAfter: 6 * time.Minute,
				LeftOver: leftOver{"akri.sh/old": {Since: now.Add(-time.Hour)}, "akri.sh/new": {Since: now}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := PlanResources(ResourceState{
				Capacity: tt.capacity, Allocatable: tt.alloc, LeftOver: tt.before, Retention: 6 * time.Minute, Now: now,
				Known: func(name string) bool { return name == "known" },
			})
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
		})
	}
}

func TestResourcePatch(t *testing.T) {
	got, err := ResourcePatch("u", list("akri.sh/a", "0", "akri.sh/b", "0"), list("akri.sh/a", "0", "akri.sh/c", "5"),
		[]corev1.ResourceName{"akri.sh/a", "akri.sh/b"})
	const want = `[{"op":"test","path":"/metadata/uid","value":"u"},` +
		`{"op":"test","path":"/status/capacity/akri.sh~1a","value":"0"},{"op":"remove","path":"/status/capacity/akri.sh~1a"},` +
		`{"op":"test","path":"/status/allocatable/akri.sh~1a","value":"0"},{"op":"remove","path":"/status/allocatable/akri.sh~1a"},` +
		`{"op":"test","path":"/status/capacity/akri.sh~1b","value":"0"},{"op":"remove","path":"/status/capacity/akri.sh~1b"}]`
	if err != nil || string(got) != want {
		t.Errorf("have %s, %v; want %s", got, err, want)
	}
}
