package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery/trial"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/gobuild"
)

// A handler that does not use our SDK is tested from the shell.
func TestHandlerTest(t *testing.T) {
	foreign := gobuild.Program(t, "github.com/akri-go/akri/test/foreignhandler")
	file := filepath.Join(t.TempDir(), "details")
	if err := os.WriteFile(file, []byte("any"), 0o600); err != nil {
		t.Fatal(err)
	}
	handler := foreign + " -devices one,two -retry 50ms"
	quick := "handler test --timeout 3s --watch 50ms "
	for _, c := range []struct {
		name, args string
		code       int
		says       []string
	}{
		{"good", quick + "--details @" + file + " --name foreign --shared=false -- " + handler, 0, []string{
			"pass      first list               2 devices after",
			"pass      killed and started       it registered again after",
			"WARNING   agent restarts, idle     it has not registered again within 3s\n",
			"\nWARNING: bad details\n  done    called Discover with the details",
			"20 findings: 16 passed, 2 warnings, 0 failures, 2 skipped",
		}},
		{"another name", quick + "--name other --shared -- " + handler, 1, []string{
			`FAILURE   registration             "foreign", local devices`, `  change  Register as "other", or ask for "foreign"`, "1 failure",
		}},
		{"a program that ends", quick + "-- /bin/false", 1, []string{"it ended with exit status 1", "2 failures"}},
		{"no program", quick + "-- /no/such/program", 1, []string{"start the handler", "no such file"}},
		{"a change that is none", quick + "--change true -- " + handler, 0, []string{"WARNING   changes                  no list differed"}},
		{"a change that fails", quick + "--change false -- " + handler, 1, []string{
			"FAILURE   changes                  the change could not be made: exit status 1", "--logs shows what the program prints"}},
		{"a change that hangs", "handler test --timeout 1s --watch 50ms --change yes -- " + handler, 1, []string{
			"the change could not be made: it has not ended within 1s (--timeout)"}},
		{"no socket", quick + "--socket " + file + "2", 1, []string{"there is no socket", "is the handler running"}},
		{"a file", quick + "--socket " + file, 1, []string{"is not a socket: give the path where the handler listens"}},
		{"a text", quick + "-- " + file, 1, []string{"a program that you may run (chmod +x)?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, said := run(strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, said)
				}
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		cmd := newAkriCommand()
		var out strings.Builder
		cmd.SetOut(&out)
		cmd.SetErr(&strings.Builder{})
		cmd.SetArgs(strings.Fields(quick + "-o json -- " + handler))
		if err := cmd.Execute(); err != nil {
			t.Errorf("%v\n%s", err, out.String())
		}
		var r trial.Report
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil || r.Name != "foreign" || r.Count(trial.Pass) < 10 {
			t.Errorf("%v\n%s", err, out.String())
		}
	})
}

func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "one": "one", "one two three": "one two|three", "one twoooooooooooo": "one|twoooooooooooo", "aaaa bbbb cc": "aaaa bbbb|cc",
	} {
		if got := wrap(text, 9, "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What a change leaves running in the background, with its output open, is not
// waited for; what it has started when its time is over is ended.
func TestMakeChange(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	if err := makeChange(t.Context(), "sleep 60 & echo $! >"+pid, time.Minute); err != nil {
		t.Error(err)
	}
	running := func() error { // sleep(1)
		text, err := os.ReadFile(pid)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return err
		}
		return syscall.Kill(n, 0)
	}
	if err := running(); err != nil {
		t.Errorf("it has not been left running: %v", err)
	}
	text, _ := os.ReadFile(pid) // which running has read
	if out, err := exec.Command("kill", strings.TrimSpace(string(text))).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	err := makeChange(t.Context(), "echo $$ >"+pid+"; sleep 60; true", 500*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "has not ended within 500ms") {
		t.Errorf("%v", err)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if err := running(); err == nil {
			return errors.New("it goes on")
		}
		return nil
	})
}
