package loadgate

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWait(t *testing.T) {
	const sampling = samples * sampleInterval
	limit := maxRunnable * runtime.NumCPU()
	tests := []struct {
		name   string
		busy   time.Duration // for so long more threads than the limit want to run
		then   int           // and so many afterwards
		first  time.Duration // when the first of two tests starts
		second time.Duration // and the second
		err    string
	}{
		{name: "quiet", then: 1, first: sampling, second: 2 * sampling},
		{name: "half full", then: limit * 2 / 3, first: sampling, second: startInterval + 2*sampling},
		{name: "busy at first", busy: 9 * time.Second, then: 1, first: 10 * time.Second, second: 10*time.Second + sampling},
		{name: "busy without end", busy: time.Hour, err: "threads want to run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), maxWait)
				defer cancel()
				runnable := func() (int, error) {
					if time.Since(began) < test.busy {
						return limit + 1, nil
					}
					return test.then, nil
				}
				for _, want := range []time.Duration{test.first, test.second} {
					err := wait(ctx, path, runnable)
					if test.err != "" {
						if err == nil || !strings.Contains(err.Error(), test.err) || time.Since(began) != maxWait {
							t.Fatalf("%v after %v", err, time.Since(began))
						}
						return
					}
					if took := time.Since(began); err != nil || took < want || took > want+3*sampleInterval {
						t.Errorf("started after %v, %v; want %v", took, err, want)
					}
				}
				time.Sleep(startInterval) // the gate is closed
			})
		})
	}
}

func TestRunnable(t *testing.T) {
	if n, err := runnable(); err != nil || n < 1 {
		t.Errorf("%d threads run, %v; this one does", n, err)
	}
}
