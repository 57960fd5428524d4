package view

import (
	"testing"
	"time"

	"github.com/akri-go/akri/internal/edge/metamanager/rewrite"
)

func TestPresent(t *testing.T) {
	name := rewrite.PodName{Namespace: "a", Name: "p"}
	state := func(uid, address string) rewrite.Pod { return rewrite.Pod{UID: uid, Addresses: []string{address}} }
	begin := time.Unix(1000, 0)
	type step struct {
		after time.Duration
		pod   pod
		want  string // address
		held  bool
	}
	for what, steps := range map[string][]step{
		"connected": {
			{0, pod{state("u", "old"), false}, "old", false},
			{1, pod{state("u", "new"), false}, "new", false},
		},
		"cut, and the kubelet writes it again": {
			{0, pod{state("u", "old"), false}, "old", false},
			{1, pod{state("u", "new"), true}, "new", false},
			{2, pod{state("u", "old"), false}, "new", true}, // the cloud speaks
			{3, pod{state("u", "old"), false}, "new", true},
			{4, pod{state("u", "new"), false}, "new", false},
			{5, pod{state("u", "newer"), false}, "newer", false},
		},
		"the cloud is right after all": {
			{0, pod{state("u", "new"), true}, "new", false},
			{1, pod{state("u", "old"), false}, "new", true},
			{1 + heldFor/2, pod{state("u", "old"), false}, "new", true},
			{1 + heldFor, pod{state("u", "old"), false}, "old", false},
			{2 + heldFor, pod{state("u", "old"), false}, "old", false},
		},
		"another Pod of the name": {
			{0, pod{state("u", "new"), true}, "new", false},
			{1, pod{state("v", "old"), false}, "old", false},
		},
		"cut again": {
			{0, pod{state("u", "new"), true}, "new", false},
			{1, pod{state("u", "old"), false}, "new", true},
			{2, pod{state("u", "newer"), true}, "newer", false},
		},
	} {
		var known map[rewrite.PodName]known
		for i, s := range steps {
			now := begin.Add(s.after)
			var again time.Time
			known, again = present(known, map[rewrite.PodName]pod{name: s.pod}, now)
			if got := known[name].Addresses[0]; got != s.want || again.IsZero() == s.held || s.held && !again.After(now) {
				t.Errorf("%s, step %d: %s, held until %v; want %s, %v", what, i, got, again, s.want, s.held)
			}
		}
		if after, _ := present(known, nil, begin); len(after) > 0 {
			t.Errorf("%s: the Pod has gone, and is still known", what)
		}
	}
}
