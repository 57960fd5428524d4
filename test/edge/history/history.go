// Package history judges what became of an edge node and its cluster after a
// history: a random sequence of cuts, deaths, power cuts and edits. It only
// computes; the tests in package edge make histories and record them.
package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Record is what a history did, and both ends when it was over and everything
// had had time to settle.
type Record struct {
	// Powers is how often the power was cut.
	Powers int
	// Born has for each Pod that was seen how often the power had been cut before
	// it can have been made, by UID.
	Born map[string]int
	// Kept are Pods that nobody deleted, and Deleted those that somebody did, by
	// UID.
	Kept, Deleted []string
	// Cloud and Edge have the same objects as both ends know them: JSON by kind,
	// namespace and name.
	Cloud, Edge map[string]string
	// Pods are those of the cloud.
	Pods []Pod
	// Running are the containers that run on the edge node.
	Running []string
}

// Pod is a Pod at the end.
type Pod struct {
	Name, UID string
	Reason    string // of its status
	Restarts  int
	// NeverRan is how many of the containers before those of now were made and never
	// started, as far as the Pod's status says: their kubelet was killed between the
	// two, and the next one makes another.
	NeverRan int
	// Containers are the ids of those that run, as the cloud believes.
	Containers []string
}

// Check returns what must not be.
func Check(r Record) []string {
	var all []string
	for _, rule := range []func(Record) []string{different, restarted, evicted, cameBack, notRunning} {
		all = append(all, rule(r)...)
	}
	return all
}

// different: the two ends do not have the same.
func different(r Record) (all []string) {
	for _, key := range slices.Sorted(maps.Keys(r.Cloud)) {
		mine, ok := r.Edge[key]
		switch {
		case !ok:
			all = append(all, "the edge does not have "+key)
		case Plain(mine) != Plain(r.Cloud[key]):
			all = append(all, fmt.Sprintf("%s differs: the edge has\n%s\nthe cloud\n%s", key, Plain(mine), Plain(r.Cloud[key])))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Edge)) {
		if _, ok := r.Cloud[key]; !ok {
			all = append(all, "the edge still has "+key)
		}
	}
	return all
}

// restarted: a container that had run was replaced more often than the power was cut.
func restarted(r Record) (all []string) {
	for _, p := range r.Pods {
		born, seen := r.Born[p.UID]
		if !seen {
			born = r.Powers // it is new
		}
		if most := r.Powers - born; p.Restarts-p.NeverRan > most {
			all = append(all, fmt.Sprintf("Pod %s was restarted %d times, and the power cut %d times in its life", p.Name, p.Restarts, most))
		}
	}
	return all
}

// evicted: a Pod that nobody deleted is not there any more, or was evicted.
func evicted(r Record) (all []string) {
	for _, uid := range r.Kept {
		if !slices.ContainsFunc(r.Pods, func(p Pod) bool { return p.UID == uid }) {
			all = append(all, "a Pod is gone that nobody deleted: "+uid)
		}
	}
	for _, p := range r.Pods {
		if p.Reason != "" {
			all = append(all, fmt.Sprintf("Pod %s has failed: %s", p.Name, p.Reason))
		}
	}
	return all
}

// cameBack: what somebody deleted is there.
func cameBack(r Record) (all []string) {
	for _, p := range r.Pods {
		if slices.Contains(r.Deleted, p.UID) {
			all = append(all, "a Pod is there that was deleted: "+p.Name)
		}
	}
	return all
}

// notRunning: what the cloud believes to run does not.
func notRunning(r Record) (all []string) {
	for _, p := range r.Pods {
		for _, id := range p.Containers {
			if !slices.Contains(r.Running, id) {
				all = append(all, fmt.Sprintf("the container %.12s of Pod %s does not run", id, p.Name))
			}
		}
	}
	return all
}

// Plain is an object as JSON, in one order and without its resourceVersion,
// which each end counts for itself.
func Plain(object string) string {
	var o map[string]any
	if json.Unmarshal([]byte(object), &o) != nil {
		return object
	}
	if meta, ok := o["metadata"].(map[string]any); ok {
		delete(meta, "resourceVersion")
	}
	text, _ := json.Marshal(o) // it was read from JSON
	return string(text)
}
