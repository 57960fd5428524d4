package broker

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestMemoryOfVanishedBrokers(t *testing.T) {
	m := newMemory(owner)
	gone := func(node string) bool { return m.goneNodes()[node] }
	m.observe([]Pod{pod("a", running), pod("b")}, t0)
	m.observe(nil, t0.Add(time.Second))
	if !gone("a") {
		t.Error("the node of a broker that vanished is not known")
	}
	if gone("b") {
		t.Error("a Pod that was never bound held nothing")
	}
	m.observe([]Pod{pod("a", running)}, t0.Add(2*time.Second))
	if gone("a") {
		t.Error("its successor is there")
	}
	m.observe(nil, t0.Add(3*time.Second))
	m.observe(nil, t0.Add(3*time.Second+slotReleasePeriod+1))
	if gone("a") {
		t.Error("it is gone for long")
	}
	m.deleted["uid-a"] = true
	pods := []Pod{pod("a", running)}
	m.observe(pods, t0)
	if !pods[0].Terminating {
		t.Error("a Pod that was deleted does not count as such while the cache is behind")
	}
	m.observe(nil, t0)
	if len(m.deleted) != 0 {
		t.Error("the memory of deleted Pods grows")
	}
}

func TestRefusals(t *testing.T) {
	key := types.NamespacedName{Namespace: "ns", Name: "cam"}
	changes := 0
	r := NewRefusals(func(types.NamespacedName) { changes++ })
	if w := r.try(key, "h", t0); w != 0 {
		t.Errorf("a new spec waits %s", w)
	}
	if !r.refuse(key, "h", "bad", t0) || r.refuse(key, "h", "bad", t0) {
		t.Error("the first refusal is news, the second is not")
	}
	if _, why := r.Verdict(key); why != "bad" {
		t.Errorf("verdict %q", why)
	}
	if w := r.try(key, "h", t0); w != 20*time.Second {
		t.Errorf("after two refusals it waits %s, want 20s", w)
	}
	if w := r.try(key, "other", t0); w != 0 {
		t.Errorf("an edited spec waits %s", w)
	}
	// A thousand Instances ask when the wait is over: one goes.
	later, through := t0.Add(21*time.Second), 0
	for range 1000 {
		if r.try(key, "h", later) == 0 {
			through++
		}
	}
	if through != 1 {
		t.Errorf("%d get through, want 1", through)
	}
	r.accept(key, "h")
	r.accept(key, "h")
	if tried, why := r.Verdict(key); !tried || why != "" {
		t.Errorf("verdict after acceptance: %t %q", tried, why)
	}
	r.clear(key)
	r.clear(key)
	if tried, _ := r.Verdict(key); tried || changes != 3 {
		t.Errorf("after all: tried %t, %d changes, want 3", tried, changes)
	}
}
