package service

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestComplaints(t *testing.T) {
	config := types.NamespacedName{Namespace: "ns", Name: "cam"}
	instance := func(name string) subjectKey {
		return subjectKey{OfInstance, types.NamespacedName{Namespace: "ns", Name: name}}
	}
	changes := 0
	c := NewComplaints(func(who types.NamespacedName) {
		if who != config {
			t.Errorf("%s changed", who)
		}
		changes++
	})
	for _, step := range []struct {
		do      func()
		changes int
		tried   bool
		message string
	}{
		{func() {}, 0, false, ""},
		{func() { c.drop(instance("x")) }, 0, false, ""},
		{func() { c.right(instance("a"), config) }, 1, true, ""},
		{func() { c.right(instance("b"), config) }, 1, true, ""},
		{func() { c.wrong(instance("b"), config, "r", "b is bad") }, 2, true, "b is bad"},
		{func() { c.wrong(instance("b"), config, "r", "b is bad") }, 2, true, "b is bad"},
		{func() { c.wrong(instance("a"), config, "r", "a is bad") }, 3, true, "a is bad"},
		{func() { c.wrong(subjectKey{OfConfiguration, config}, config, "r", "all is bad") }, 4, true, "all is bad"},
		{func() { c.right(subjectKey{OfConfiguration, config}, config) }, 5, true, "a is bad"},
		{func() { c.drop(instance("a")) }, 6, true, "b is bad"},
		{func() { c.right(instance("b"), config) }, 7, true, ""},
		{func() { c.drop(subjectKey{OfConfiguration, config}) }, 7, false, ""},
	} {
		step.do()
		tried, _, message := c.Verdict(config)
		if tried != step.tried || message != step.message || changes != step.changes {
			t.Errorf("tried %v, %q, %d changes; want %v, %q, %d", tried, message, changes, step.tried, step.message, step.changes)
		}
	}
}
