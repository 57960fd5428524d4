// Package eventually makes tests wait for a condition. It repeats a check until
// that succeeds. Long waits are reported to `go test -json`, so that the end of
// a test run can list them (tools/testsum).
package eventually

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Patience is how long a test waits for what takes a moment where nothing else
// runs. It decides only how late a test fails that would fail anyway, so it is
// enough for a machine that is busy with everything else.
const Patience = 3 * time.Minute

const (
	// The interval between two checks is a tenth of the time that has passed: so
	// waits are not much too long, and checks not too many.
	minCheckInterval = 5 * time.Millisecond
	maxCheckInterval = 100 * time.Millisecond
	// minToldWait is the shortest wait that is reported.
	minToldWait  = time.Second
	maxToldBytes = 160
)

// Succeeds repeats check until it returns nil. After the given time it fails
// the test with the last error. The context of a check ends with that time, and
// not with the test, so that clean-ups can wait too.
func Succeeds(t testing.TB, within time.Duration, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
	defer cancel()
	began := time.Now()
	var last error
	timer := time.NewTimer(minCheckInterval)
	defer timer.Stop()
	for {
		err := check(ctx)
		if err == nil {
			if last != nil {
				Tell(t, began, last.Error())
			}
			return
		}
		if ctx.Err() == nil || last == nil {
			last = err // else it may only say that its time was over
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %v: %v", within, last)
		case <-timer.C:
		}
		timer.Reset(max(minCheckInterval, min(time.Since(began)/10, maxCheckInterval)))
	}
}

// Tell reports that the test has waited since a time, and what for: the last
// error, or why the test waits on purpose. It does not report short waits.
func Tell(t testing.TB, began time.Time, what string) {
	waited := time.Since(began)
	if waited < minToldWait {
		return
	}
	what = strings.Join(strings.Fields(what), " ") // an attribute is one line
	if len(what) > maxToldBytes {
		what = strings.ToValidUTF8(what[:maxToldBytes], "") + "..."
	}
	t.Attr("wait", waited.Round(100*time.Millisecond).String()+" "+what)
}
