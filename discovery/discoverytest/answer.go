package discoverytest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
)

// answer collects what a handler reports for one request.
type answer struct {
	t      *testing.T
	cancel context.CancelFunc

	inReport atomic.Bool
	done     chan struct{} // closed when Discover has returned
	err      error         // what it returned

	mu      sync.Mutex
	last    discovery.Report
	reports int
	changed chan struct{} // closed at the next report
}

func ask(t *testing.T, h discovery.Handler, req discovery.Request) *answer {
	return askWith(t, t.Context(), h, req, nil)
}

// askWith asks; after says what report returns.
func askWith(t *testing.T, ctx context.Context, h discovery.Handler, req discovery.Request, after func() error) *answer {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	a := &answer{t: t, cancel: cancel, changed: make(chan struct{}), done: make(chan struct{})}
	go func() {
		err := discovery.Ask(ctx, h, req, func(r discovery.Report) error {
			a.report(r)
			if after != nil {
				return after()
			}
			return ctx.Err()
		})
		a.err = err
		close(a.done)
	}()
	t.Cleanup(func() {
		cancel()
		a.ended()
	})
	return a
}

func (a *answer) report(r discovery.Report) {
	if !a.inReport.CompareAndSwap(false, true) {
		a.t.Error("report was called concurrently")
	}
	defer a.inReport.Store(false)
	seen := make(map[string]bool)
	for _, d := range r.Devices {
		if seen[d.ID] {
			a.t.Errorf("a report lists the id %q twice", d.ID)
		}
		seen[d.ID] = true
	}
	for _, id := range r.Departed {
		if seen[id] {
			a.t.Errorf("a report lists %q, and says that it has departed", id)
		}
	}
	r.Devices, r.Departed = slices.Clone(r.Devices), slices.Clone(r.Departed)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = r
	a.reports++
	close(a.changed)
	a.changed = make(chan struct{})
}

// wait waits until the devices last reported have the ids given.
func (a *answer) wait(want []string) {
	a.t.Helper()
	want = slices.Sorted(slices.Values(want))
	a.until(fmt.Sprintf("it has %q", want), func(r discovery.Report) bool {
		return slices.Equal(slices.Sorted(slices.Values(idsOf(r))), want)
	})
}

func idsOf(r discovery.Report) (ids []string) {
	for _, d := range r.Devices {
		ids = append(ids, d.ID)
	}
	return ids
}

// until waits for a report that is as wanted, and returns it.
func (a *answer) until(what string, ok func(discovery.Report) bool) discovery.Report {
	a.t.Helper()
	timeout := time.After(waitTimeout)
	for {
		a.mu.Lock()
		reports, changed, last := a.reports, a.changed, a.last
		a.mu.Unlock()
		if reports > 0 && ok(last) {
			return last
		}
		how := ""
		select {
		case <-changed:
			continue
		case <-a.done:
			how = fmt.Sprintf("Discover ended (%v) while", a.err)
		case <-timeout:
			how = fmt.Sprintf("for %s", waitTimeout)
		}
		a.t.Fatalf("%s waiting for a report where %s; %d reports, the last has %q, departed %q", how, what, reports,
			idsOf(last), last.Departed)
	}
}

// ended waits until Discover has returned, and returns its error.
func (a *answer) ended() error {
	a.t.Helper()
	select {
	case <-a.done:
		return a.err
	case <-time.After(waitTimeout):
		a.t.Fatalf("Discover has not returned within %s", waitTimeout)
		return nil
	}
}

func (a *answer) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reports
}
