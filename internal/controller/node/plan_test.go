package node

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlan(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ready, away, lost := Node{}, Node{NotReady: t0.Add(-20 * time.Second)}, Node{NotReady: t0.Add(-time.Minute)}
	for _, tt := range []struct {
		name  string
		in    []string
		usage map[string]string
		nodes map[string]Node
		want  Result
		patch string
	}{
		{"all well", []string{"a"}, map[string]string{"i-0": "a"}, map[string]Node{"a": ready}, Result{}, ""},
		{"not ready for a while", []string{"a", "b"}, map[string]string{"i-0": "a"}, map[string]Node{"a": away, "b": ready},
			Result{Again: 20 * time.Second}, ""},
		{"not ready for long", []string{"b", "a"}, map[string]string{"i-0": "a", "i-1": "b"}, map[string]Node{"a": lost, "b": ready},
			Result{Leave: []string{"a"}, Free: []string{"i-0"}},
			`[{"op":"test","path":"/spec/nodes/1","value":"a"},{"op":"remove","path":"/spec/nodes/1"},` +
				`{"op":"test","path":"/spec/deviceUsage/i-0","value":"a"},{"op":"remove","path":"/spec/deviceUsage/i-0"}]`},
		{"deleted, through the Configuration's resource", []string{"a", "b", "c"}, map[string]string{"i-0": "C:i-0:a", "i-1": "c"}, map[string]Node{"b": ready},
			Result{Leave: []string{"a", "c"}, Free: []string{"i-0", "i-1"}},
			`[{"op":"test","path":"/spec/nodes/2","value":"c"},{"op":"remove","path":"/spec/nodes/2"},` +
				`{"op":"test","path":"/spec/nodes/0","value":"a"},{"op":"remove","path":"/spec/nodes/0"},` +
				`{"op":"test","path":"/spec/deviceUsage/i-0","value":"C:i-0:a"},{"op":"remove","path":"/spec/deviceUsage/i-0"},` +
				`{"op":"test","path":"/spec/deviceUsage/i-1","value":"c"},{"op":"remove","path":"/spec/deviceUsage/i-1"}]`},
		{"a slot of a node that left before", []string{"b"}, map[string]string{"i-0": "a"}, map[string]Node{"b": ready},
			Result{Free: []string{"i-0"}}, `[{"op":"test","path":"/spec/deviceUsage/i-0","value":"a"},{"op":"remove","path":"/spec/deviceUsage/i-0"}]`},
		{"the last one", []string{"a"}, nil, nil, Result{Leave: []string{"a"}, Delete: true},
			`[{"op":"test","path":"/spec/nodes/0","value":"a"},{"op":"remove","path":"/spec/nodes/0"}]`},
		{"no nodes to begin with", nil, nil, nil, Result{}, ""},
		{"free and strange values", []string{"a"}, map[string]string{"i-0": "", "i-1": "C:x"}, map[string]Node{"a": ready}, Result{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := State{InNodes: tt.in, Usage: tt.usage, Nodes: tt.nodes, Grace: 40 * time.Second, Now: t0}
			got := Plan(s)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
			patch, err := Patch(s, got)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.patch, string(patch)); d != "" {
				t.Errorf("patch (-want +got):\n%s", d)
			}
		})
	}
}
