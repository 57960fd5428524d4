package history

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	good := func() Record {
		return Record{
			Powers: 2, Born: map[string]int{"u1": 0, "u2": 1}, Kept: []string{"u1"}, Deleted: []string{"u0"},
			Cloud: map[string]string{"pods n/a": `{"metadata":{"name":"a","resourceVersion":"7"}}`},
			Edge:  map[string]string{"pods n/a": `{"metadata":{"resourceVersion":"900","name":"a"}}`},
			Pods: []Pod{{Name: "a", UID: "u1", Restarts: 2, Containers: []string{"c1"}}, {Name: "b", UID: "u2", Restarts: 1}, {Name: "new", UID: "u3"},
				{Name: "begun", UID: "u2", Restarts: 2, NeverRan: 1}},
			Running: []string{"c1", "sandbox"},
		}
	}
	for want, spoil := range map[string]func(*Record){
		"":                                   func(*Record) {},
		"the edge does not have pods n/a":    func(r *Record) { delete(r.Edge, "pods n/a") },
		"the edge still has pods n/old":      func(r *Record) { r.Edge["pods n/old"] = "{}" },
		"pods n/a differs":                   func(r *Record) { r.Edge["pods n/a"] = `{"metadata":{"name":"a"},"status":{}}` },
		"Pod b was restarted 2 times":        func(r *Record) { r.Pods[1].Restarts = 2 },
		"Pod b was restarted 3 times":        func(r *Record) { r.Pods[1].Restarts, r.Pods[1].NeverRan = 3, 1 },
		"Pod new was restarted 1 times":      func(r *Record) { r.Pods[2].Restarts = 1 },
		"a Pod is gone that nobody deleted":  func(r *Record) { r.Kept = append(r.Kept, "u9") },
		"Pod a has failed: Evicted":          func(r *Record) { r.Pods[0].Reason = "Evicted" },
		"a Pod is there that was deleted: a": func(r *Record) { r.Deleted = append(r.Deleted, "u1") },
		"the container c1 of Pod a":          func(r *Record) { r.Running = nil },
	} {
		r := good()
		spoil(&r)
		got := strings.Join(Check(r), "\n")
		if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
