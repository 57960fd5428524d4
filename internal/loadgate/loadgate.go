// Package loadgate keeps tests from starting while the machine is overloaded. Tests
// of several packages share its processors. If too many run at once, the programs of
// a cluster are late for each other: nodes are lost, requests end unanswered, and
// tests fail that are right. Where the processors are quick enough, nobody waits.
package loadgate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/eventually"
)

const (
	// maxRunnable is how many threads may want to run, for each processor, when
	// another test starts. A whole run of the tests on a quiet machine has 4 most of
	// the time.
	maxRunnable = 7
	// samples of the number of threads are taken at sampleInterval.
	samples        = 20
	sampleInterval = 50 * time.Millisecond
	// startInterval passes between two tests that start while the machine is half
	// full, so that the second one sees what the first one does.
	startInterval = 3 * time.Second
	// maxWait is how long a test waits at most: another program may use the
	// processors all the time.
	maxWait = 5 * time.Minute
)

// Wait returns when the machine has processors for another test. Tests of all
// packages pass one after the other.
func Wait(t testing.TB) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), maxWait)
	defer cancel()
	if err := wait(ctx, filepath.Join(os.TempDir(), "akri-loadgate.lock"), runnable); err != nil && t.Context().Err() == nil {
		t.Logf("starts all the same: %v", err)
	}
	eventually.Tell(t, began, "too many threads want to run")
}

// wait takes the lock at path, and waits until few threads want to run.
func wait(ctx context.Context, path string, runnable func() (int, error)) error {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	next := func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			return nil
		}
	}
	gate, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	for unix.Flock(int(gate.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		if err := next(); err != nil {
			gate.Close()
			return fmt.Errorf("other tests wait: %w", err)
		}
	}
	limit := maxRunnable * runtime.NumCPU()
	for {
		sum := 0
		for range samples {
			n, err := runnable()
			if err != nil {
				gate.Close()
				return fmt.Errorf("count the threads that want to run: %w", err)
			}
			if err := next(); err != nil {
				gate.Close()
				return fmt.Errorf("more than %d threads want to run: %w", limit, err)
			}
			sum += n
		}
		switch {
		case sum < samples*limit/2:
			return gate.Close()
		case sum < samples*limit:
			time.AfterFunc(startInterval, func() { gate.Close() })
			return nil
		}
	}
}

// runnable is the number of threads that run or want to, on the whole machine
// (proc_stat(5), procs_running).
func runnable() (int, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(data, []byte("\nprocs_running "))
	if !found {
		return 0, errors.New("/proc/stat does not say it")
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(line))
}
