package node

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestOnlySeenTimeCounts(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := &health{maxLookGap: 15 * time.Second}
	look := func(uid types.UID, after, want time.Duration) {
		t.Helper()
		now = now.Add(after)
		if n := h.look("a", uid, now); n.AwayFor != want || n.Gone != (uid == "") {
			t.Errorf("%+v, want %s", n, want)
		}
	}
	look("u", 0, 0)
	look("u", 10*time.Second, 10*time.Second)
	look("u", 5*time.Minute, 10*time.Second) // the API server did not answer
	look("u", 10*time.Second, 20*time.Second)
	look("u", -time.Hour, 20*time.Second) // the clock was set back
	look("u", 5*time.Second, 25*time.Second)
	h.interrupt("a") // no witness
	look("u", 10*time.Second, 25*time.Second)
	look("v", 10*time.Second, 0) // the Node is a new one
	look("v", 10*time.Second, 10*time.Second)
	look("", time.Second, 0)
	look("v", time.Second, 0)
	look("v", time.Second, time.Second)
	if h.forget("a") { // it was ready
		t.Error("it was removed from nothing")
	}
	look("v", time.Second, 0)
}

func TestComebacks(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := &health{maxLookGap: time.Hour}
	g := Grace{Node: time.Minute}
	inst := types.NamespacedName{Namespace: "d", Name: "i"}
	h.look("a", "", now)
	if _, back := h.cameBack("a", inst); back || !h.lost([]string{"a", "b"}, g)["a"] {
		t.Error("a node that is gone is lost at once")
	}
	want := firstHoldPeriod
	for range 9 {
		h.removed("a", inst)
		hold, back := h.cameBack("a", inst)
		if !back || hold != want || h.lost([]string{"a"}, g) != nil {
			t.Errorf("held %s (%t), want %s", hold, back, want)
		}
		if _, again := h.cameBack("a", inst); again {
			t.Error("one comeback counts twice")
		}
		now = now.Add(hold)
		if n := h.look("a", "", now); n.HoldFor > 0 && hold <= h.maxLookGap {
			t.Errorf("%+v is still held", n)
		}
		h.look("a", "", now.Add(time.Second))
		now = now.Add(time.Second)
		want = min(2*want, maxHoldPeriod)
	}
	if !h.forget("a") || h.forget("a") {
		t.Error("one absence ends once")
	}
}

func TestForgotten(t *testing.T) {
	h := &health{maxLookGap: time.Second}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h.look("a", "", now)
	h.look("b", "", now.Add(forgetAfter+time.Second))
	if len(h.nodes) != 1 || h.nodes["b"] == nil {
		t.Errorf("remembers %v", h.nodes)
	}
}
