// Package eventually is how tests wait. A wait asks again until a check has
// nothing to complain of; what took long is told to `go test -json`, so that
// the end of a test run can list the longest waits (tools/testsum).
package eventually

import (
	"context"
	"strings"
	"testing"
	"time"
)

const (
	// The interval between two checks is a tenth of the time that has passed,
	// so that no wait is much too long, and few checks load the machine.
	minCheckInterval = 5 * time.Millisecond
	maxCheckInterval = 100 * time.Millisecond
	// minToldWait is how long a wait is that is told.
	minToldWait  = time.Second
	maxToldBytes = 160
)

// Succeeds asks until check returns nil, or fails the test with its last
// complaint. The context of a check ends with the time; it outlives the test,
// so that a clean-up may wait too.
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

// Tell says that the test has waited since a time, and for what: the last
// complaint, or the reason why a test waits on purpose. Short waits are not
// told.
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
