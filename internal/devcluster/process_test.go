package devcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       stat
		bad        bool
	}{
		{name: "plain", text: "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1\n", want: stat{'S', 4242}},
		{name: "name with spaces and parentheses", text: "7 (a) (b c) R) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1\n", want: stat{'Z', 99}},
		{name: "empty", text: "", bad: true},
		{name: "cut", text: "7 (sh) S 1 7", bad: true},
		{name: "no number", text: "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 1 1", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat(tt.text)
			if (err != nil) != tt.bad || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestProcIsKilledOnlyWhenItIsTheSame(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })

	p, err := identify(cmd.Process.Pid)
	if err != nil || !p.alive() {
		t.Fatalf("own child: %+v, %v", p, err)
	}
	others := map[string]proc{"earlier process": p, "earlier boot": p, "none": {}}
	earlier := p
	earlier.Start--
	others["earlier process"] = earlier
	boot := p
	boot.BootID = "another"
	others["earlier boot"] = boot
	for name, other := range others {
		if other.alive() {
			t.Errorf("%s is alive", name)
		}
		if err := other.signal(t.Context(), unix.SIGKILL, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !p.alive() {
		t.Fatal("a record of another process killed it")
	}

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.signal(stopped, unix.SIGCONT, true); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a process that runs on: %v", err)
	}
	if err := p.signal(t.Context(), unix.SIGKILL, true); err != nil {
		t.Fatal(err)
	}
	<-done
	if p.alive() {
		t.Error("alive after SIGKILL")
	}
}

func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "p.json")
	var none proc
	if err := readJSON(path, &none); err != nil || none != (proc{}) {
		t.Errorf("missing record: %+v, %v", none, err)
	}
	want := proc{PID: 7, Start: 99, BootID: "b", Started: time.Unix(5, 0).UTC()}
	if err := writeJSON(path, want); err != nil {
		t.Fatal(err)
	}
	var got proc
	if err := readJSON(path, &got); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(`{"pid":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readJSON(path, &got); err == nil {
		t.Error("half a record was read")
	}
}

func TestInnermostPID(t *testing.T) {
	for text, want := range map[string]int{
		"Name:\tsh\nNSpid:\t4711\t42\nNSsid:\t1\n": 42,
		"NSpid:\t5\n": 5,
		"NSpid:\n":    0,
		"NSpid:\tx\n": 0,
		"":            0,
	} {
		if got := innermostPID(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reg", "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: %v", err)
	}
	got := make(chan error)
	go func() {
		unlock, err := lockFile(t.Context(), path)
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Errorf("lock that was given back: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("files are left: %v", err)
	}
}

// Whoever gives a lock back takes its folder away under those who come.
func TestLockFileContended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reg", "lock")
	var holders atomic.Int32
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for taken := 0; taken < 2000; {
				unlock, err := tryLock(path)
				if errors.Is(err, errHeld) {
					runtime.Gosched()
					continue
				}
				if err != nil {
					return err
				}
				if n := holders.Add(1); n != 1 {
					return fmt.Errorf("%d holders at once", n)
				}
				holders.Add(-1)
				unlock()
				taken++
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("files are left: %v", err)
	}
}

func TestFailedChecks(t *testing.T) {
	for answer, want := range map[string]string{
		`an error ("[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed\nreadyz check failed")`: "etcd, poststarthook/x",
		"[+]ping ok\n[-]etcd failed: reason withheld\n":                                                            "etcd",
		"connection refused": "",
	} {
		if got := failedChecks(answer); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}
