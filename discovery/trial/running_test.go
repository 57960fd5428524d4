package trial_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/trial"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

// runs has somebody else run a handler in a folder.
func runs(t *testing.T, opts ...discovery.Option) (directory string) {
	t.Helper()
	leaktest.Check(t)
	directory, err := os.MkdirTemp("/tmp", "akri-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- discovery.Serve(ctx, lamps{}, append(opts, discovery.WithDirectory(directory))...) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return directory
}

func levels(r trial.Report) map[string]trial.Level {
	all := map[string]trial.Level{}
	for _, f := range r.Findings {
		all[f.Check] = f.Level
	}
	return all
}

func asked() trial.Subject {
	return trial.Subject{
		Request: discovery.Request{Details: "lamp-*"}, Bad: []discovery.Request{{Details: "["}}, Watch: -1,
	}
}

// A handler that somebody runs is waited for, and called where it has registered.
func TestHandlerThatRuns(t *testing.T) {
	for name, opts := range map[string][]discovery.Option{
		"socket": nil, "network": {discovery.WithAddress("127.0.0.1"), discovery.WithPort(0)},
	} {
		t.Run(name, func(t *testing.T) {
			s := asked()
			s.Directory = runs(t, opts...)
			told := ""
			s.Waiting = func(directory string) { told = directory }
			report, err := trial.Run(t.Context(), s)
			if err != nil || told != s.Directory || report.Name != "lamps" {
				t.Errorf("%v, %q, %+v", err, told, report)
			}
			for check, level := range levels(report) {
				skipped := strings.Contains("starts without an agent, nothing found, changes, killed and started, told to end", check)
				if want := map[bool]trial.Level{false: trial.Pass, true: trial.Skipped}[skipped]; level != want {
					t.Errorf("%s: %s, want %s", check, level, want)
				}
			}
		})
	}
}

// A trial is not in the way of an agent: it only calls the handler then.
func TestBesideAnAgent(t *testing.T) {
	directory := runs(t)
	agent, err := net.Listen("unix", filepath.Join(directory, trial.AgentSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	s := asked()
	s.Socket = filepath.Join(directory, "lamps.sock")
	eventually.Succeeds(t, trial.DefaultTimeout, func(context.Context) error {
		_, err := os.Lstat(s.Socket)
		return err
	})
	report, err := trial.Run(t.Context(), s)
	got := levels(report)
	if err != nil || got["first list"] != trial.Pass || got["many dropped calls"] != trial.Pass ||
		got["registration"] != trial.Skipped || got["agent restarts"] != trial.Skipped || report.Count(trial.Failure) > 0 {
		t.Errorf("%v, %+v", err, report)
	}
	if _, err := os.Lstat(filepath.Join(directory, trial.AgentSocket)); err != nil {
		t.Error(err)
	}
}

// What cannot be tried is an error, not a finding.
func TestNoTrial(t *testing.T) {
	for name, s := range map[string]trial.Subject{
		"two handlers":         {Handler: lamps{}, Socket: "/x/y.sock"},
		"no arguments":         {Program: &trial.Program{}},
		"no such program":      {Program: &trial.Program{Args: []string{"/no/such/program"}}},
		"a folder in a file":   {Handler: lamps{}, Directory: "/dev/null/x"},
		"a folder that is far": {Handler: lamps{}, Directory: filepath.Join(t.TempDir(), strings.Repeat("x", 120))},
	} {
		if report, err := trial.Run(t.Context(), s); err == nil {
			t.Errorf("%s: no error; %+v", name, report)
		}
	}
}
