// Package handlertest has what the tests of handlers that ask have in common.
package handlertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/schedule"
	"github.com/akri-go/akri/internal/leaktest"
)

// Quick is a rhythm that looks again after a few milliseconds, whatever the
// interval.
func Quick(time.Duration) schedule.Rhythm {
	const often = 20 * time.Millisecond
	return schedule.Rhythm{Interval: often, Slowest: often, Retry: backoff.Backoff{First: often, Max: often}}
}

// Ask asks a handler until the test ends, and returns its reports. Nothing may be
// left over then.
func Ask(t testing.TB, h discovery.Explainer, details string) <-chan discovery.Report {
	t.Helper()
	leaktest.Check(t)
	return AskFor(t, h, discovery.Request{Details: details})
}

// AskFor makes a request until the test ends, also of a handler that others ask
// too, and returns the reports.
func AskFor(t testing.TB, h discovery.Explainer, r discovery.Request) <-chan discovery.Report {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reports, ended := make(chan discovery.Report), make(chan error)
	go func() {
		ended <- h.Explain(ctx, r, func(r discovery.Report) error {
			select {
			case reports <- r:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	return reports
}

// Until waits for a report that is as wanted, and returns it.
func Until(t testing.TB, reports <-chan discovery.Report, what string, ok func(discovery.Report) bool) discovery.Report {
	t.Helper()
	timeout := time.After(time.Minute)
	last := "no report"
	for {
		select {
		case r := <-reports:
			last = fmt.Sprintf("%q, note %q", IDs(r), r.Note)
			if ok(r) {
				return r
			}
		case <-timeout:
			t.Fatalf("no report where %s; the last: %s", what, last)
		}
	}
}

// IDs returns the ids of a report's devices, with a space between them.
func IDs(r discovery.Report) string {
	var all []string
	for _, d := range r.Devices {
		all = append(all, d.ID)
	}
	return strings.Join(all, " ")
}
