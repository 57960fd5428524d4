package node

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlan(t *testing.T) {
	var (
		grace   = Grace{Node: time.Minute, Last: 5 * time.Minute}
		never   = Grace{}
		noLast  = Grace{Node: time.Minute}
		short   = Grace{Node: time.Minute, Last: time.Second}
		brief   = Node{Name: "a", AwayFor: 20 * time.Second}
		away    = Node{Name: "a", AwayFor: time.Minute}
		long    = Node{Name: "a", AwayFor: 5 * time.Minute}
		gone    = Node{Name: "a", Gone: true}
		answers = Node{Name: "a", Gone: true, AwayFor: time.Hour, HoldFor: 9 * time.Second}
	)
	const only = `{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/metadata/resourceVersion","value":"7"},`
	const leave0 = `{"op":"test","path":"/spec/nodes/0","value":"a"},{"op":"remove","path":"/spec/nodes/0"}`
	for _, tt := range []struct {
		name        string
		node        Node
		grace       Grace
		in          []string
		usage       map[string]string
		statusNodes []string
		local       bool
		lost        map[string]bool
		want        Result
		patch       string
	}{
		{name: "away for a while", node: brief, grace: grace, in: []string{"a", "b"}, usage: map[string]string{"i-0": "a"},
			want: Result{RequeueAfter: 40 * time.Second}},
		{name: "away for long, another sees it", node: away, grace: grace, in: []string{"b", "a"}, usage: map[string]string{"i-0": "a", "i-1": "b"},
			want: Result{Leave: true, Free: []string{"i-0"}},
			patch: "[" + only + `{"op":"test","path":"/spec/nodes/1","value":"a"},{"op":"remove","path":"/spec/nodes/1"},` +
				`{"op":"test","path":"/spec/deviceUsage/i-0","value":"a"},{"op":"remove","path":"/spec/deviceUsage/i-0"}]`},
		{name: "away for long, nobody else sees it", node: away, grace: grace, in: []string{"a"}, usage: map[string]string{"i-0": "a"},
			want: Result{RequeueAfter: 4 * time.Minute}},
		{name: "all that see it are lost", node: away, grace: grace, in: []string{"a", "b"}, lost: map[string]bool{"b": true},
			want: Result{RequeueAfter: 4 * time.Minute}},
		{name: "all that see it are lost, this one for very long", node: long, grace: grace, in: []string{"a", "b"}, lost: map[string]bool{"b": true},
			want: Result{Leave: true}, patch: "[" + only + leave0 + "]"},
		{name: "the last one, for very long", node: long, grace: grace, in: []string{"a"}, usage: map[string]string{"i-0": "a"}, statusNodes: []string{"a"},
			want: Result{Delete: true}},
		{name: "the last one never goes", node: long, grace: noLast, in: []string{"a"}, want: Result{}},
		{name: "but others do", node: long, grace: noLast, in: []string{"a", "b"}, want: Result{Leave: true}, patch: "[" + only + leave0 + "]"},
		{name: "the last one is never sooner", node: brief, grace: short, in: []string{"a"}, want: Result{RequeueAfter: 40 * time.Second}},
		{name: "the last one with a short period", node: away, grace: short, in: []string{"a"}, want: Result{Delete: true}},
		{name: "who is away never goes", node: long, grace: never, in: []string{"a", "b"}, usage: map[string]string{"i-0": "a"}, want: Result{}},
		{name: "who is gone goes at once all the same", node: gone, grace: never, in: []string{"a", "b"},
			want: Result{Leave: true}, patch: "[" + only + leave0 + "]"},
		{name: "gone, the last one", node: gone, grace: grace, in: []string{"a"}, want: Result{Delete: true}},
		{name: "gone, another is lost", node: gone, grace: grace, in: []string{"a", "b"}, lost: map[string]bool{"b": true},
			want: Result{Leave: true}, patch: "[" + only + leave0 + "]"},
		{name: "through the Configuration's resource, and in status.nodes", node: gone, grace: grace, in: []string{"a", "b"},
			usage: map[string]string{"i/~0": "C:i-0:a", "i-1": "b", "i-2": "", "i-3": "C:x"}, statusNodes: []string{"b", "a"},
			want: Result{Leave: true, Free: []string{"i/~0"}, Clear: true},
			patch: "[" + only + leave0 + `,{"op":"test","path":"/spec/deviceUsage/i~1~00","value":"C:i-0:a"},` +
				`{"op":"remove","path":"/spec/deviceUsage/i~1~00"}]`},
		{name: "a slot of a node that left before", node: away, grace: grace, in: []string{"b"}, usage: map[string]string{"i-0": "a"},
			want: Result{Free: []string{"i-0"}},
			patch: "[" + only + `{"op":"test","path":"/spec/deviceUsage/i-0","value":"a"},` +
				`{"op":"remove","path":"/spec/deviceUsage/i-0"}]`},
		{name: "in status.nodes only, since it left before", node: away, grace: grace, in: []string{"b"}, statusNodes: []string{"a"},
			want: Result{Clear: true}},
		{name: "gone, the last one, another node's container has a slot", node: gone, grace: grace, in: []string{"a"}, usage: map[string]string{"i-0": "a", "i-1": "b"},
			want: Result{Leave: true, Free: []string{"i-0"}},
			patch: "[" + only + leave0 + `,{"op":"test","path":"/spec/deviceUsage/i-0","value":"a"},` +
				`{"op":"remove","path":"/spec/deviceUsage/i-0"}]`},
		{name: "gone, the last one of a local device", node: gone, grace: grace, in: []string{"a"}, usage: map[string]string{"i-1": "b"}, local: true,
			want: Result{Delete: true}},
		{name: "the last slot of an Instance without nodes", node: away, grace: grace, usage: map[string]string{"i-0": "a"}, want: Result{Delete: true}},
		{name: "one of the slots of an Instance without nodes", node: away, grace: grace, usage: map[string]string{"i-0": "a", "i-1": "b"},
			want: Result{Free: []string{"i-0"}},
			patch: "[" + only + `{"op":"test","path":"/spec/deviceUsage/i-0","value":"a"},` +
				`{"op":"remove","path":"/spec/deviceUsage/i-0"}]`},
		{name: "not concerned", node: gone, grace: grace, in: []string{"b"}, usage: map[string]string{"i-0": "b"}, want: Result{}},
		{name: "its agent works", node: answers, grace: grace, in: []string{"a"}, want: Result{RequeueAfter: 9 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := State{
				Node: tt.node, Grace: tt.grace, Lost: tt.lost,
				Instance: Instance{UID: "u", ResourceVersion: "7", Shared: !tt.local, Nodes: tt.in, Usage: tt.usage, StatusNodes: tt.statusNodes},
			}
			got := Plan(s)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
			if got.Nothing() == (got.Delete || got.Leave || got.Clear || got.Free != nil) {
				t.Errorf("Nothing is %t of %+v", got.Nothing(), got)
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

func TestEntryPatch(t *testing.T) {
	got, err := StatusNodePatch("u", 2, "a")
	const want = `[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/status/nodes/2/name","value":"a"},` +
		`{"op":"remove","path":"/status/nodes/2"}]`
	if err != nil || string(got) != want {
		t.Errorf("have %s, %v; want %s", got, err, want)
	}
}
