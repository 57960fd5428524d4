package trial_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/trial"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

func subject(p *trial.Program) trial.Subject {
	return trial.Subject{
		Program: p,
		Name:    "bare",
		Request: discovery.Request{Details: "one two three"},
		Others:  []discovery.Request{{Details: "four"}, {Details: "five six"}},
		Bad:     []discovery.Request{{Details: "bad"}},
		Nothing: &discovery.Request{Details: "nothing"},
		Timeout: eventually.Patience, // for what happens; see patiently
		Watch:   100 * time.Millisecond,
	}
}

// patiently makes a trial with more and more time, until it is as it should be:
// what does not happen costs a trial all of its time, and a busy machine needs
// more for what does.
func patiently(t *testing.T, of func() trial.Subject, as func(trial.Report) bool) (report trial.Report, err error) {
	for timeout, watch := 3*time.Second, 100*time.Millisecond; ; timeout, watch = 4*timeout, 4*watch {
		s := of()
		s.Timeout, s.Watch = timeout, watch
		report, err = trial.Run(t.Context(), s)
		if err != nil || as(report) || timeout > eventually.Patience/4 {
			return report, err
		}
		t.Logf("not as it should be with %s; trying again", timeout)
	}
}

// A handler that does all that is asked for gets no warning.
func TestGoodHandler(t *testing.T) {
	leaktest.Check(t)
	report, err := trial.Run(t.Context(), subject(faulty(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, f := range report.Findings {
		made[f.Check] = true
		if f.Level != trial.Pass && f.Check != "changes" {
			t.Error(f)
		}
	}
	for _, name := range trial.Checks() {
		if !made[name] {
			t.Errorf("nothing was found out about %q", name)
		}
	}
	if report.Name != "bare" || report.Shared || !strings.HasSuffix(report.Endpoint, "/bare.sock") {
		t.Errorf("%+v", report)
	}
}

// Each fault of a handler is found, and said in words that name the remedy.
func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		faults string
		check  string
		level  trial.Level
		got    string // part of what came
		change string // part of the remedy
	}{
		{"needs-agent", "starts without an agent", trial.Failure, "it ended with exit status 1; it said", "try to register again"},
		{"wrong-name", "registration", trial.Failure, `"other"`, `Register as "bare"`},
		{"relative-path", "registration", trial.Failure, `"bare.sock"`, "absolute path"},
		{"other-folder", "registration", trial.Failure, `"/run/bare.sock"`, "must be in"},
		{"does-not-listen", "endpoint", trial.Failure, "no such file", "Listen before you register"},
		{"open-to-all", "endpoint", trial.Warning, "0666", "0660"},
		{"other-service", "first list", trial.Failure, "unknown service", "v0.DiscoveryHandler/Discover"},
		{"mute", "first list", trial.Warning, "nothing within", "even if it is empty"},
		{"mute-if-empty", "nothing found", trial.Warning, "nothing within", "Send the empty list"},
		{"panics", "first list", trial.Failure, "the program ended with exit status 2; it said", "go on until the caller ends the call"},
		{"panics", "told to end", trial.Failure, "it had ended by itself, with exit status 2", ""},
		{"huge", "first list", trial.Failure, "larger than the agent takes", "4 MiB at most"},
		{"many", "first list", trial.Failure, "20003 devices", "Send less"},
		{"long-ids", "devices", trial.Failure, "10000 bytes, at most 1024", "leaves such a device out"},
		{"loader", "devices", trial.Failure, "LD_PRELOAD", "leaves such a device out"},
		{"reaches-out", "devices", trial.Failure, `an element ".."`, "leaves such a device out"},
		{"mounts", "devices", trial.Warning, "agent.allowedMounts", "operator must allow"},
		{"twice", "ids listed once", trial.Failure, `"one", "three", "two"`, "an id of its own"},
		{"counts", "same ids again", trial.Failure, `"one-2"`, "a serial number"},
		{"timestamps", "same ids again", trial.Warning, "other properties", "what differs from call to call"},
		{"parts", "whole lists", trial.Failure, `"one", "two"`, "Send all devices in each response"},
		{"ends", "stays open", trial.Failure, "the handler ended a call after 1 list", "Do not return from Discover"},
		{"repeats", "stays open", trial.Warning, "had the devices of the one before", "send only what differs"},
		{"repeats floods", "stays open", trial.Failure, "more than 1000 lists", "only if it has changed"},
		{"half-open", "endpoint", trial.Failure, "takes connections, but does not speak HTTP/2", "Serve gRPC"},
		{"link", "endpoint", trial.Failure, "it is a symbolic link", "in the agent's folder itself"},
		{"takes-the-agents-place", "registration", trial.Failure, "is in the way", "Leave agent-registration.sock to the agent"},
		{"takes-the-agents-place-late", "agent restarts", trial.Failure, "is in the way", "Leave agent-registration.sock to the agent"},
		{"leaves-a-process", "told to end", trial.Failure, "still answers at", "process group"},
		{"talks", "told to end", trial.Pass, "", ""},
		{"dies-later", "calls at once", trial.Failure, "Unavailable", ""},
		{"refuses-at-length", "bad details", trial.Warning, "a text of 40000 bytes", "512 bytes"},
		{"departs", "departed", trial.Pass, "1 device", ""},
		{"departs is-there", "departed", trial.Failure, `has devices and says that they have departed: "one"`, "either"},
		{"departs comes-back", "departed", trial.Warning, `a later list has them: "one"`, "only missed"},
		{"departs nameless", "departed", trial.Warning, "1 ids of one list are none", "1 to 1024 bytes"},
		{"one-at-a-time", "calls at once", trial.Failure, "were not answered", "side by side"},
		{"takes-anything", "bad details", trial.Failure, "a list of 1 device", "INVALID_ARGUMENT"},
		{"refuses-vaguely", "bad details", trial.Failure, `Unknown, "no"`, "asks again and again"},
		{"refuses-silently", "bad details", trial.Warning, "without a text", "all that the author of the Configuration sees"},
		{"panics-on-bad", "bad details", trial.Failure, "the program ended with exit status 2", "INVALID_ARGUMENT"},
		{"panics-on-bad", "killed and started", trial.Pass, "", ""},
		{"keeps-files", "many dropped calls", trial.Warning, "files open before", "Close what a call has opened"},
		{"keeps-workers", "many dropped calls", trial.Failure, "was not answered", "keep a worker busy for ever"},
		{"does-not-notice", "dropped call", trial.Warning, "has not registered again", "Notice the end of a call"},
		{"registers-once", "agent restarts", trial.Failure, "has not registered again", "until it succeeds"},
		{"does-not-watch", "agent restarts, idle", trial.Warning, "has not registered again", "Watch the agent's socket"},
		{"moves", "agent restarts", trial.Failure, `as "bare2`, "the same name"},
		{"keeps-dead-socket", "killed and started", trial.Failure, "address already in use", "Remove the dead socket"},
	}
	reports := make([]trial.Report, len(tests))
	errs := make([]error, len(tests))
	var trials sync.WaitGroup
	slots := make(chan struct{}, 16) // they wait most of the time
	found := func(i int) func(trial.Report) bool {
		want := tests[i]
		return func(r trial.Report) bool {
			return slices.ContainsFunc(r.Findings, func(f trial.Finding) bool {
				return f.Check == want.check && f.Level == want.level && strings.Contains(f.Got, want.got) && strings.Contains(f.Change, want.change)
			})
		}
	}
	for i, test := range tests {
		p := faulty(t, test.faults)
		trials.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			reports[i], errs[i] = patiently(t, func() trial.Subject { return subject(p) }, found(i))
		})
	}
	trials.Wait()
	for i, test := range tests {
		t.Run(test.faults+" "+test.check, func(t *testing.T) {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if !found(i)(reports[i]) {
				t.Errorf("want a %s of %q with %q and %q; found", test.level, test.check, test.got, test.change)
				for _, f := range reports[i].Findings {
					t.Log(f)
				}
			}
		})
	}
}

// A change reaches every open call as a whole list, whether or not it is known what
// it must lead to.
func TestChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		faults string
		want   []string
		level  trial.Level
		got    string
	}{
		{"", []string{"one", "two", "three", "extra"}, trial.Pass, "4 devices"},
		{"", nil, trial.Pass, "4 devices"},
		{"sends-new-ones", []string{"one", "two", "three", "extra"}, trial.Failure, `"one", "three", "two" too few`},
		{"sends-new-ones", nil, trial.Failure, `"one", "three", "two" too few`},
		{"misses-changes", nil, trial.Failure, `"extra" too few`},
		{"", []string{"one"}, trial.Failure, "too many"},
	} {
		t.Run(fmt.Sprintf("%s %d", test.faults, len(test.want)), func(t *testing.T) {
			t.Parallel()
			is := func(f trial.Finding) bool {
				return f.Check == "changes" && f.Level == test.level && strings.Contains(f.Got, test.got)
			}
			report, err := patiently(t, func() trial.Subject {
				s := subject(faulty(t, test.faults))
				dir, err := os.MkdirTemp("/tmp", "akri-")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				s.Directory = dir
				s.Changes = []trial.Change{{What: "plugged one in", Make: func(context.Context) ([]string, error) {
					return test.want, os.WriteFile(filepath.Join(dir, "extra"), nil, 0o600)
				}}}
				return s
			}, func(r trial.Report) bool { return slices.ContainsFunc(r.Findings, is) })
			if err != nil || !slices.ContainsFunc(report.Findings, is) {
				t.Errorf("%q, %q: %v, %v; want a %s with %s", test.faults, test.want, report.Findings, err, test.level, test.got)
			}
		})
	}
}

// What upstream's handlers do is at most a warning.
func TestUpstreamsHabits(t *testing.T) {
	t.Parallel()
	p := faulty(t, "mute-if-empty does-not-watch") // two things do not happen
	wrong := func(f trial.Finding) bool {
		warned := f.Check == "nothing found" || f.Check == "agent restarts, idle"
		return f.Level == trial.Failure || warned != (f.Level == trial.Warning)
	}
	report, err := patiently(t, func() trial.Subject { return subject(p) }, func(r trial.Report) bool { return !slices.ContainsFunc(r.Findings, wrong) })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if wrong(f) {
			t.Error(f)
		}
	}
}

// A trial that is broken off ends what it started.
func TestBrokenOff(t *testing.T) {
	leaktest.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := subject(faulty(t, ""))
	s.Found = func(f trial.Finding) {
		if f.Check == "first list" {
			cancel()
		}
	}
	report, err := trial.Run(ctx, s)
	if err == nil || report.Count(trial.Failure) > 0 || report.Count(trial.Warning) > 0 {
		t.Errorf("%v, %+v", err, report)
	}
}

// Nothing is left of a program whose processes are several.
func TestProcessGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	p := faulty(t, "")
	p.Args = []string{"sh", "-c", "sleep 600 & echo $! >>" + file + "; " + p.Args[0]}
	report, err := trial.Run(t.Context(), subject(p))
	if err != nil || report.Count(trial.Failure) > 0 {
		t.Errorf("%v, %+v", err, report)
	}
	pids, err := os.ReadFile(file)
	if err != nil || len(strings.Fields(string(pids))) != 2 { // it was started again once
		t.Fatalf("%q, %v", pids, err)
	}
	for _, pid := range strings.Fields(string(pids)) {
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
			status, err := os.ReadFile("/proc/" + pid + "/status")
			if err != nil || strings.Contains(string(status), "State:\tZ") {
				return nil
			}
			return fmt.Errorf("process %s runs", pid)
		})
	}
}
