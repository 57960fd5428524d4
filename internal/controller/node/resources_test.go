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
	type since = map[corev1.ResourceName]time.Time
	ago := func(d time.Duration) since { return since{"akri.sh/old": now.Add(-d)} }
	for _, tt := range []struct {
		name            string
		capacity, alloc corev1.ResourceList
		since           since
		want            ResourceResult
	}{
		{"nothing of ours", list("cpu", "0", "example.com/old", "0", "akri.shop/old", "0"), nil, nil, ResourceResult{}},
		{"in use", list("akri.sh/old", "2"), list("akri.sh/old", "1"), ago(time.Hour), ResourceResult{}},
		{"the plugin has gone: its grace period runs", list("akri.sh/old", "2"), list("akri.sh/old", "0"), ago(time.Hour), ResourceResult{}},
		{"an Instance stands for it", list("akri.sh/known", "0"), list("akri.sh/known", "0"), since{"akri.sh/known": now.Add(-time.Hour)}, ResourceResult{}},
		{"found just now", list("akri.sh/old", "0"), list("akri.sh/old", "0"), nil,
			ResourceResult{Since: ago(0), RequeueAfter: 6 * time.Minute}},
		{"not long enough", list("akri.sh/old", "0"), list("akri.sh/old", "0"), ago(2 * time.Minute),
			ResourceResult{Since: ago(2 * time.Minute), RequeueAfter: 4 * time.Minute}},
		{"the clock was set back", list("akri.sh/old", "0"), nil, ago(-time.Hour),
			ResourceResult{Since: ago(0), RequeueAfter: 6 * time.Minute}},
		{"long enough", list("akri.sh/old", "0", "akri.sh/known", "0", "cpu", "0"), list("akri.sh/old", "0"), ago(6 * time.Minute),
			ResourceResult{Remove: []corev1.ResourceName{"akri.sh/old"}, Since: ago(6 * time.Minute)}},
		{"of several kinds", list("akri.sh/old", "0"), list("akri.sh/new", "0"), ago(time.Hour),
			ResourceResult{Remove: []corev1.ResourceName{"akri.sh/old"}, RequeueAfter: 6 * time.Minute,
				Since: since{"akri.sh/old": now.Add(-time.Hour), "akri.sh/new": now}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := PlanResources(ResourceState{
				Capacity: tt.capacity, Allocatable: tt.alloc, Since: tt.since, Retention: 6 * time.Minute, Now: now,
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
