package service

import (
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ours := func(change ...func(*Existing)) *Existing {
		e := &Existing{UID: "s", Ours: true, Owner: "i", Hash: "h"}
		for _, f := range change {
			f(e)
		}
		return e
	}
	foreign := &Existing{UID: "f"}
	going := func(e *Existing) { e.Terminating = true }
	stale := func(e *Existing) { e.Hash = "h0" }
	upstream := func(e *Existing) { e.Hash = "" }
	earlier := func(e *Existing) { e.Owner = "old" }
	runs, waits, none := Backends{Running: 1, Left: 2}, Backends{Left: 1}, Backends{}
	for _, tt := range []struct {
		name  string
		state State
		want  Verb
		again time.Duration
	}{
		{"not wanted, not there", State{Subject: "i"}, Keep, 0},
		{"no broker runs yet", State{Subject: "i", Hash: "h", Backends: waits, Expected: true}, Keep, 0},
		{"first broker runs", State{Subject: "i", Hash: "h", Backends: runs}, Apply, 0},
		{"there", State{Subject: "i", Hash: "h", Backends: runs, Existing: ours()}, Keep, 0},
		{"changed", State{Subject: "i", Hash: "h", Backends: runs, Existing: ours(stale)}, Apply, 0},
		{"changed while none runs", State{Subject: "i", Hash: "h", Backends: waits, Existing: ours(stale)}, Apply, 0},
		{"upstream made it", State{Subject: "i", Hash: "h", Backends: runs, Existing: ours(upstream)}, Apply, 0},
		{"on its way out", State{Subject: "i", Hash: "h", Backends: runs, Existing: ours(going, stale)}, Keep, 0},
		{"no longer wanted", State{Subject: "i", Backends: runs, Existing: ours()}, Delete, 0},
		{"not wanted, on its way out", State{Subject: "i", Existing: ours(going)}, Keep, 0},
		{"broken spec keeps the old one", State{Subject: "i", Hold: true, Existing: ours()}, Keep, 0},
		{"subject gone", State{Existing: ours(), Backends: runs}, Delete, 0},
		{"subject gone, foreign", State{Existing: foreign}, Keep, 0},
		{"of an earlier subject", State{Subject: "i", Hash: "h", Backends: runs, Existing: ours(earlier)}, Delete, 0},
		{"foreign", State{Subject: "i", Hash: "h", Backends: runs, Existing: foreign}, Conflict, 0},
		{"foreign, but no broker runs", State{Subject: "i", Hash: "h", Backends: waits, Existing: foreign}, Keep, 0},
		{"foreign and not wanted", State{Subject: "i", Existing: foreign}, Keep, 0},
		{"no broker left, none to come", State{Subject: "i", Hash: "h", Backends: none, Existing: ours()}, Delete, 0},
		{"no broker left, one may come", State{Subject: "i", Hash: "h", Backends: none, Expected: true, Empty: t0, Existing: ours()}, Keep, 30 * time.Second},
		{"still none", State{Subject: "i", Hash: "h", Backends: none, Expected: true, Empty: t0.Add(-29 * time.Second), Existing: ours()}, Keep, time.Second},
		{"none came", State{Subject: "i", Hash: "h", Backends: none, Expected: true, Empty: t0.Add(-30 * time.Second), Existing: ours()}, Delete, 0},
		{"none came, nothing there", State{Subject: "i", Hash: "h", Backends: none, Expected: true, Empty: t0}, Keep, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.state.Now = t0
			if got := Plan(tt.state); got.Verb != tt.want || got.RequeueAfter != tt.again {
				t.Errorf("verb %d again in %s, want %d, %s", got.Verb, got.RequeueAfter, tt.want, tt.again)
			}
		})
	}
}
