package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func TestPlanJobs(t *testing.T) {
	const name = "cam-1-3-job"
	inst := func() *Instance { return &Instance{Name: "cam-1", UID: owner, Nodes: []string{"a"}} }
	job := func(name, hash string, with ...func(*Job)) Job {
		j := Job{Name: name, UID: types.UID(name), Owner: owner, SpecHash: hash}
		for _, f := range with {
			f(&j)
		}
		return j
	}
	going := func(j *Job) { j.Terminating = true }
	old := func(j *Job) { j.Owner = "old" }
	for _, tt := range []struct {
		name   string
		state  JobState
		create bool
		delete []string
		made   string
	}{
		{"new", JobState{Instance: inst(), Hash: "h", Name: name}, true, nil, "h"},
		{"there, not recorded", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job(name, "h")}}, false, nil, "h"},
		{"there", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job(name, "h")}, Made: "h"}, false, nil, "h"},
		{"finished and removed", JobState{Instance: inst(), Hash: "h", Name: name, Made: "h"}, false, nil, "h"},
		{"another generation, the same spec", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job("cam-1-2-job", "h")}, Made: "h"}, false, nil, "h"},
		{"changed", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job("cam-1-2-job", "h0")}, Made: "h0"}, true, []string{"cam-1-2-job"}, "h"},
		{"changed, old one removed", JobState{Instance: inst(), Hash: "h", Name: name, Made: "h0"}, true, nil, "h"},
		{"upstream's", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job(name, "")}}, false, nil, "h"},
		{"upstream's, changed since", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job("cam-1-2-job", "")}, Made: "h0"}, true, []string{"cam-1-2-job"}, "h"},
		{"its name is taken by one on its way out", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job(name, "h0", going)}, Made: "h0"}, false, nil, "h0"},
		{"of an earlier Instance", JobState{Instance: inst(), Hash: "h", Name: name, Jobs: []Job{job(name, "h", old)}}, false, []string{name}, ""},
		{"not wanted", JobState{Instance: inst(), Jobs: []Job{job(name, "h")}, Made: "h"}, false, []string{name}, ""},
		{"not known what is wanted", JobState{Instance: inst(), Hold: true, Jobs: []Job{job(name, "h")}, Made: "h"}, false, nil, "h"},
		{"Instance gone", JobState{Jobs: []Job{job(name, "h"), job("x", "h", going)}}, false, []string{name}, ""},
		{"no node sees it, a container has a slot", JobState{Instance: &Instance{UID: owner}, Hash: "h", Name: name, Jobs: []Job{job(name, "h")}, Made: "h"}, false, []string{name}, ""},
		{"device away", JobState{Instance: &Instance{UID: owner, Nodes: []string{"a"}, Offline: map[string]bool{"a": true}}, Hash: "h", Name: name}, false, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := PlanJobs(tt.state)
			var deleted []string
			for _, j := range got.Delete {
				deleted = append(deleted, j.Name)
			}
			if got.Create != tt.create || got.Made != tt.made || !cmp.Equal(deleted, tt.delete) {
				t.Errorf("create %t, delete %v, made %q; want %t, %v, %q", got.Create, deleted, got.Made, tt.create, tt.delete, tt.made)
			}
		})
	}
}

// A Job without a Pod is examined once it should have one.
func TestStuck(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		job   Job
		stuck bool
		again time.Duration
	}{
		"made just now": {Job{Created: t0.Add(-3 * time.Second)}, false, 7 * time.Second},
		"clocks differ": {Job{Created: t0.Add(time.Hour)}, false, firstPodTimeout},
		"has a Pod":     {Job{Active: 1}, false, 0},
		"has ended":     {Job{Over: true}, false, 0},
		"goes":          {Job{Terminating: true}, false, 0},
		"stuck":         {Job{Created: t0.Add(-firstPodTimeout)}, true, 0},
	} {
		if stuck, again := tt.job.stuck(t0); stuck != tt.stuck || again != tt.again {
			t.Errorf("%s: %v, again in %s", name, stuck, again)
		}
	}
}

// A thousand stuck Jobs cost one request per Configuration.
func TestLook(t *testing.T) {
	config, t0 := types.NamespacedName{Name: "cam"}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := NewRefusals(func(types.NamespacedName) {})
	r.accept(config, "h")
	asked := 0
	for range 1000 {
		if r.look(config, "h", t0) == 0 {
			asked++
		}
	}
	if asked != 1 || r.look(config, "h", t0.Add(stuckCheckInterval)) != 0 {
		t.Errorf("asked %d times at once", asked)
	}
	r.refuse(config, "h", "forbidden", t0)
	if wait := r.look(config, "h", t0); wait != firstDelay {
		t.Errorf("refused: again in %s", wait)
	}
	if wait := r.look(config, "h", t0.Add(firstDelay)); wait != 0 {
		t.Errorf("after the back-off: %s", wait)
	}
}
