package ledger

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

const (
	inst = v0.DoorInstance
	conf = v0.DoorConfiguration
)

var cam = types.NamespacedName{Namespace: "ns", Name: "cam-0000a1"}

func TestPlanClaim(t *testing.T) {
	here := &instance{
		namespace: "ns", bare: cam.Name,
		device:  &device{capacity: 4, shared: true, usable: true},
		held:    map[int]holder{0: {door: inst}, 1: {door: conf}, 7: {door: inst}, 8: {door: conf, virtual: "cam-3"}},
		pending: map[int]v0.Door{2: conf},
		others:  map[int]v0.Usage{3: {Node: "b", Door: inst}, 9: {Node: "b", Door: inst}},
	}
	here.held[9] = holder{door: inst}
	shrunk := &instance{
		bare: cam.Name, device: &device{capacity: 4, shared: true, usable: true},
		held: map[int]holder{0: {door: inst}, 5: {door: inst}}, others: map[int]v0.Usage{6: {Node: "b", Door: inst}},
	}
	offline := &instance{bare: cam.Name, device: &device{capacity: 2}, held: map[int]holder{0: {door: inst}}}
	tests := map[string]struct {
		in    *instance
		slot  int
		door  v0.Door
		held  bool
		says  string
		taken bool
	}{
		"held":                     {in: here, slot: 0, door: inst, held: true},
		"held, configuration":      {in: here, slot: 1, door: conf, held: true},
		"held beyond capacity":     {in: here, slot: 7, door: inst, held: true},
		"other door":               {in: here, slot: 0, door: conf, says: "through the resource akri.sh/cam-0000a1", taken: true},
		"other door, conf":         {in: here, slot: 1, door: inst, says: "through the resource akri.sh/cam", taken: true},
		"upstream's id":            {in: here, slot: 8, door: conf, says: "as device cam-3", taken: true},
		"pending":                  {in: here, slot: 2, door: conf, says: "for another container", taken: true},
		"other node":               {in: here, slot: 3, door: inst, says: "node b holds it", taken: true},
		"lost to another node":     {in: here, slot: 9, door: inst, says: "node b holds it", taken: true},
		"beyond capacity":          {in: here, slot: 4, door: inst, says: "has 4 slots"},
		"one of two that are left": {in: shrunk, slot: 1, door: inst},
		"kept back":                {in: shrunk, slot: 2, door: inst, says: "now has 4 slots and as many are held", taken: true},
		"kept back, the last":      {in: shrunk, slot: 3, door: conf, says: "as many are held", taken: true},
		"unknown instance":         {in: nil, slot: 0, door: inst, says: "no such device"},
		"gone device":              {in: &instance{held: map[int]holder{0: {door: inst}}}, slot: 0, door: inst, says: "no such device"},
		"offline":                  {in: offline, slot: 1, door: inst, says: "offline on node a"},
		"offline but held":         {in: offline, slot: 0, door: inst, held: true},
		"free in a small, usable":  {in: &instance{device: &device{capacity: 1, usable: true}}, slot: 0, door: conf},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			held, err := planClaim("a", test.in, test.slot, test.door)
			if held != test.held {
				t.Errorf("held = %v, want %v", held, test.held)
			}
			if test.says == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("err = %v, want one that says %q", err, test.says)
			}
			if strings.HasPrefix(err.Error(), ErrTaken.Error()) != test.taken {
				t.Errorf("err = %v, ErrTaken wanted: %v", err, test.taken)
			}
		})
	}
}

func TestPlanReconcile(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	claim := func(i int, door v0.Door) Claim { return Claim{Instance: cam, Slot: i, Door: door} }
	use := func(resource, id string) Use { return Use{Resource: "akri.sh/" + resource, ID: id} }
	legacy := Claim{Instance: cam, Slot: 0, Door: conf, VirtualDevice: "cam-5"}

	tests := map[string]struct {
		claims  []Claim
		idle    []time.Time
		pending []string
		uses    []Use
		blind   bool
		want    reconcilePlan
	}{
		"used": {
			claims: []Claim{claim(0, inst), claim(1, conf)},
			uses:   []Use{use("cam-0000a1", "cam-0000a1-0"), use("cam", "cam-0000a1-1")},
			want:   reconcilePlan{marks: []mark{{claim: claim(0, inst)}, {claim: claim(1, conf)}}},
		},
		"used again in time": {
			claims: []Claim{claim(0, inst)}, idle: []time.Time{ago(19 * time.Second)},
			uses: []Use{use("cam-0000a1", "cam-0000a1-0")},
			want: reconcilePlan{marks: []mark{{claim: claim(0, inst)}}},
		},
		"newly unused": {
			claims: []Claim{claim(0, inst)},
			want:   reconcilePlan{marks: []mark{{claim(0, inst), now}}, next: IdleGrace},
		},
		"unused within grace": {
			claims: []Claim{claim(0, inst), claim(1, inst)}, idle: []time.Time{ago(5 * time.Second), ago(19 * time.Second)},
			want: reconcilePlan{
				marks: []mark{{claim(0, inst), ago(5 * time.Second)}, {claim(1, inst), ago(19 * time.Second)}},
				next:  time.Second,
			},
		},
		"unused for the grace": {
			claims: []Claim{claim(0, inst)}, idle: []time.Time{ago(IdleGrace)},
			want: reconcilePlan{free: []Claim{claim(0, inst)}, marks: []mark{{claim(0, inst), ago(IdleGrace)}}},
		},
		"blind: nothing is freed, and the grace starts anew": {
			claims: []Claim{claim(0, inst)}, idle: []time.Time{ago(time.Hour)}, blind: true,
			want: reconcilePlan{marks: []mark{{claim: claim(0, inst)}}},
		},
		"blind: what is used is taken over": {
			uses: []Use{use("cam", "cam-0000a1-2")}, blind: true,
			want: reconcilePlan{adopt: []Claim{claim(2, conf)}},
		},
		"used but not claimed": {
			uses: []Use{use("cam-0000a1", "cam-0000a1-9"), use("cam-0000a1", "cam-0000a1-9")},
			want: reconcilePlan{adopt: []Claim{claim(9, inst)}},
		},
		"used through the other door": {
			claims: []Claim{claim(0, inst)}, idle: []time.Time{ago(time.Hour)},
			uses: []Use{use("cam", "cam-0000a1-0")},
			want: reconcilePlan{adopt: []Claim{claim(0, conf)}},
		},
		"used through both doors": {
			claims: []Claim{claim(0, inst)},
			uses:   []Use{use("cam", "cam-0000a1-0"), use("cam-0000a1", "cam-0000a1-0")},
			want:   reconcilePlan{marks: []mark{{claim: claim(0, inst)}}},
		},
		"being claimed": {
			uses: []Use{use("cam", "cam-0000a1-0")}, pending: []string{"cam-0000a1-0"},
		},
		"not ours": {
			uses: []Use{
				use("other", "cam-0000a1-0"), use("other-0000a1", "other-0000a1-0"), use("cam", "cam-0"),
				use("cam", ""), use("cam", "cam-0000a1-x"), {Resource: "example.com/cam-0000a1", ID: "cam-0000a1-0"},
			},
		},
		"upstream's id, used": {
			claims: []Claim{legacy}, idle: []time.Time{ago(time.Second)}, uses: []Use{use("cam", "cam-5")},
			want: reconcilePlan{marks: []mark{{claim: legacy}}},
		},
		"upstream's id, unused": {
			claims: []Claim{legacy}, idle: []time.Time{ago(time.Hour)},
			want: reconcilePlan{free: []Claim{legacy}, marks: []mark{{legacy, ago(time.Hour)}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := snapshot{
				claims: test.claims, idle: test.idle, pending: make(map[string]bool),
				instances: map[string]types.NamespacedName{cam.Name: cam},
			}
			if s.idle == nil {
				s.idle = make([]time.Time, len(s.claims))
			}
			for _, id := range test.pending {
				s.pending[id] = true
			}
			got := planReconcile(now, IdleGrace, s, View{Uses: test.uses, Complete: !test.blind})
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(reconcilePlan{}, mark{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanObserved(t *testing.T) {
	usage := func(node string, door v0.Door, virtual string) v0.Usage {
		return v0.Usage{Node: node, Door: door, VirtualDevice: virtual}
	}
	type usages = map[string]v0.Usage
	tests := map[string]struct {
		in    instance
		usage usages
		want  observedPlan
	}{
		"nothing": {},
		"others": {
			usage: usages{"cam-0000a1-0": usage("b", inst, ""), "cam-0000a1-1": usage("c", conf, "cam-0"), "cam-0000a1-2": {}},
			want: observedPlan{
				others:  map[int]v0.Usage{0: usage("b", inst, ""), 1: usage("c", conf, "cam-0")},
				changed: true,
			},
		},
		"others as before": {
			in:    instance{others: map[int]v0.Usage{0: usage("b", inst, "")}},
			usage: usages{"cam-0000a1-0": usage("b", inst, "")},
			want:  observedPlan{others: map[int]v0.Usage{0: usage("b", inst, "")}},
		},
		"others are gone": {
			in:   instance{others: map[int]v0.Usage{0: usage("b", inst, "")}},
			want: observedPlan{changed: true},
		},
		"others in a local device": {
			in:    instance{device: &device{}},
			usage: usages{"cam-0000a1-0": usage("b", inst, "")},
		},
		"other keys": {
			usage: usages{"dog-0000a1-0": usage("b", inst, ""), "x": usage("a", inst, ""), "cam-0000a1-01": usage("b", inst, ""), "cam-0000a1-10000": usage("b", inst, "")},
		},
		"ours": {
			in:    instance{held: map[int]holder{0: {door: inst}, 1: {door: conf}}},
			usage: usages{"cam-0000a1-0": usage("a", inst, ""), "cam-0000a1-1": usage("a", conf, "cam-0000a1-1")},
			want:  observedPlan{confirmed: map[int]bool{0: true, 1: true}},
		},
		"ours is missing": {
			in:   instance{held: map[int]holder{0: {door: inst}}},
			want: observedPlan{differs: true},
		},
		"ours has another door": {
			in:    instance{held: map[int]holder{0: {door: inst}}},
			usage: usages{"cam-0000a1-0": usage("a", conf, "cam-0000a1-0")},
			want:  observedPlan{differs: true},
		},
		"unknown ones of ours": {
			usage: usages{
				"cam-0000a1-0": usage("a", inst, ""),
				"cam-0000a1-1": usage("a", conf, "cam-0000a1-1"),
				"cam-0000a1-2": usage("a", conf, "cam-7"),
			},
			want: observedPlan{
				adopt:   map[int]holder{0: {door: inst}, 1: {door: conf}, 2: {door: conf, virtual: "cam-7"}},
				changed: true,
			},
		},
		"freed here, still there": {
			in:    instance{released: map[int]bool{0: true, 1: true}},
			usage: usages{"cam-0000a1-0": usage("a", inst, "")},
			want:  observedPlan{released: map[int]bool{0: true}, differs: true},
		},
		"being claimed": {
			in:    instance{pending: map[int]v0.Door{0: inst}, held: map[int]holder{1: {door: inst}}},
			usage: usages{"cam-0000a1-0": usage("a", inst, ""), "cam-0000a1-1": usage("a", inst, "")},
			want:  observedPlan{confirmed: map[int]bool{1: true}},
		},
		"held by two": {
			in:    instance{device: &device{shared: true}, held: map[int]holder{0: {door: inst}}},
			usage: usages{"cam-0000a1-0": usage("b", inst, "")},
			want: observedPlan{
				others: map[int]v0.Usage{0: usage("b", inst, "")}, contested: map[int]string{0: "b"},
				differs: true, changed: true,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.in.bare = cam.Name
			got := planObserved("a", &test.in, test.usage)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(observedPlan{}, holder{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
