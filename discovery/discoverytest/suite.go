// Package discoverytest has the tests that every discovery handler should pass.
//
// A handler's author writes a [Harness], which sets up a [Fixture]: a handler
// with devices that can be unplugged. A test then calls [Run]. It tests what
// [discovery.Handler] asks for in this process, and then makes a trial (package
// trial): it serves the handler, plays the agent for it, and reports each finding.
//
// [Check] makes a trial alone, of any handler: a program that is started, written
// in any language, or one that runs already.
package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/trial"
	"github.com/akri-go/akri/internal/leaktest"
)

// waitTimeout is how long the suite waits for what must happen.
const waitTimeout = 2 * time.Minute

// Harness sets up one handler for one test, and cleans up with t.Cleanup.
type Harness func(t *testing.T) Fixture

// Fixture is a handler with devices that the suite can plug and unplug.
type Fixture struct {
	// Handler is the handler under test.
	Handler discovery.Handler
	// Request finds devices. At first these are the ones with the ids in Present.
	Request discovery.Request
	Present []string
	// Unplug removes at least one device, and Plug brings the removed ones back.
	// Both return the ids that must be reported then. They are called in turns,
	// Unplug first.
	Unplug, Plug func() []string
	// Depart, if not nil, has another device than those of Unplug say itself that it
	// goes, and returns its id. Reports must then say that it has departed, and not
	// that one which was unplugged has. Plug brings both back.
	Depart func() string
	// Invalid and AlsoInvalid are requests that the handler must refuse.
	Invalid     discovery.Request
	AlsoInvalid []discovery.Request
	// Nothing, if not nil, is a valid request that finds no device.
	Nothing *discovery.Request
}

// Run tests the handlers that the harness sets up.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"Changes", testChanges},
		{"Departs", testDeparts},
		{"Invalid", testInvalid},
		{"EndsWithContext", testEndsWithContext},
		{"EndsWhenReportFails", testReportFails},
		{"Concurrent", testConcurrent},
		{"Trial", testTrial},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaktest.Check(t) // after the cleanups of the harness
			f := h(t)
			if len(f.Present) == 0 {
				t.Fatal("the harness has no devices at the start")
			}
			test.run(t, f)
		})
	}
}

// Check makes a trial, and reports its findings: failures and warnings fail the
// test, the rest is logged.
func Check(t testing.TB, s trial.Subject) trial.Report {
	t.Helper()
	report, err := trial.Run(t.Context(), s)
	for _, f := range report.Findings {
		if f.Level == trial.Failure || f.Level == trial.Warning {
			t.Error(f)
		} else {
			t.Log(f)
		}
	}
	if err != nil {
		t.Error(err)
	}
	return report
}

func testTrial(t *testing.T, f Fixture) {
	var changes []trial.Change
	for range 3 {
		for _, c := range []struct {
			what string
			make func() []string
		}{{"unplugged a device", f.Unplug}, {"plugged it in", f.Plug}} {
			changes = append(changes, trial.Change{What: c.what, Make: func(context.Context) ([]string, error) {
				return append([]string{}, c.make()...), nil // nil would be unknown
			}})
		}
	}
	Check(t, trial.Subject{
		Handler: f.Handler,
		Request: f.Request,
		Present: f.Present,
		Bad:     append([]discovery.Request{f.Invalid}, f.AlsoInvalid...),
		Nothing: f.Nothing,
		Changes: changes,
		Calls:   50,
		Watch:   -1, // changes are made on purpose
	})
}

func testChanges(t *testing.T, f Fixture) {
	a := ask(t, f.Handler, f.Request)
	a.wait(f.Present)
	for range 3 {
		a.wait(f.Unplug())
		a.wait(f.Plug())
	}
}

func testDeparts(t *testing.T, f Fixture) {
	if f.Depart == nil {
		return // it says so of no device, or cannot be made to
	}
	a := ask(t, f.Handler, f.Request)
	a.wait(f.Present)
	missing := slices.Clone(f.Present)
	left := f.Unplug()
	a.wait(left)
	missing = slices.DeleteFunc(missing, func(id string) bool { return slices.Contains(left, id) })
	gone := f.Depart()
	a.wait(slices.DeleteFunc(slices.Clone(left), func(id string) bool { return id == gone }))
	said := a.until(fmt.Sprintf("%q has departed", gone), func(r discovery.Report) bool {
		return slices.Contains(r.Departed, gone)
	})
	for _, id := range missing { // for longer than the other
		if slices.Contains(said.Departed, id) {
			t.Errorf("%q was unplugged, and is reported as departed", id)
		}
	}
	a.wait(f.Plug())
	a.until(fmt.Sprintf("%q is back, and has not departed", gone), func(r discovery.Report) bool {
		return !slices.Contains(r.Departed, gone)
	})
}

func testInvalid(t *testing.T, f Fixture) {
	for _, req := range append([]discovery.Request{f.Invalid}, f.AlsoInvalid...) {
		a := ask(t, f.Handler, req)
		err := a.ended()
		if !discovery.IsInvalid(err) {
			t.Errorf("%q: got error %v, want one made by discovery.Invalid", req.Details, err)
		}
		if a.count() > 0 {
			t.Errorf("%q: devices were reported", req.Details)
		}
	}
}

func testEndsWithContext(t *testing.T, f Fixture) {
	a := ask(t, f.Handler, f.Request)
	a.wait(f.Present)
	a.cancel()
	if err := a.ended(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want nil or the context's error", err)
	}
	// Another request sees changes; the ended one must not.
	other := ask(t, f.Handler, f.Request)
	other.wait(f.Present)
	reports := a.count()
	other.wait(f.Unplug())
	other.wait(f.Plug())
	if a.count() != reports {
		t.Error("devices were reported after Discover had returned")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late := askWith(t, ctx, f.Handler, f.Request, nil)
	if err := late.ended(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("asked with a context that is done: ended with %v", err)
	}
}

func testReportFails(t *testing.T, f Fixture) {
	failure := errors.New("the test ends here")
	a := askWith(t, t.Context(), f.Handler, f.Request, func() error { return failure })
	if err := a.ended(); !errors.Is(err, failure) {
		t.Errorf("ended with %v, want the error that report returned", err)
	}
	if n := a.count(); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

func testConcurrent(t *testing.T, f Fixture) {
	var all []*answer
	for range 50 {
		all = append(all, ask(t, f.Handler, f.Request))
	}
	each := func(want []string) {
		for _, a := range all {
			a.wait(want)
		}
	}
	each(f.Present)
	each(f.Unplug())
	// Half of them end while the others go on.
	for _, a := range all[:25] {
		a.cancel()
	}
	want := f.Plug()
	for _, a := range all[25:] {
		a.wait(want)
	}
}
