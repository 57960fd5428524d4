package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// maxKept is how many of each list are kept and printed.
const maxKept = 10

// timed is how long something took. While a parallel test is paused, its time
// does not count.
type timed struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// times are what took longest, the longest first.
type times struct {
	Packages []timed `json:"slowPackages,omitempty"`
	Tests    []timed `json:"slowTests,omitempty"` // without subtests of their own
	Waits    []timed `json:"waits,omitempty"`     // "<package> <test>: <for what>"
}

// wait reads the attribute "wait" of a test: a duration and what for.
func (t *times) wait(e event) {
	length, what, _ := strings.Cut(e.Value, " ")
	if d, err := time.ParseDuration(length); err == nil && e.Key == "wait" {
		t.Waits = append(t.Waits, timed{e.Package + " " + e.Test + ": " + what, d.Seconds()})
	}
}

func (t *times) add(o times) {
	t.Packages = append(t.Packages, o.Packages...)
	t.Tests = append(t.Tests, o.Tests...)
	t.Waits = append(t.Waits, o.Waits...)
}

// trim keeps the longest of each list. A test with subtests is left out, since
// its time is theirs.
func (t *times) trim() {
	parents := map[string]bool{}
	for _, test := range t.Tests {
		pkg, name, _ := strings.Cut(test.Name, " ")
		for at := strings.LastIndexByte(name, '/'); at >= 0; at = strings.LastIndexByte(name, '/') {
			name = name[:at]
			parents[pkg+" "+name] = true
		}
	}
	t.Tests = slices.DeleteFunc(t.Tests, func(test timed) bool { return parents[test.Name] })
	for _, list := range []*[]timed{&t.Packages, &t.Tests, &t.Waits} {
		*list = slices.DeleteFunc(*list, func(one timed) bool { return one.Seconds < 1 })
		slices.SortStableFunc(*list, func(a, b timed) int { return cmp.Compare(b.Seconds, a.Seconds) })
		*list = slices.Clip((*list)[:min(len(*list), maxKept)])
	}
}

func (t *times) printTimes(out io.Writer) {
	for _, list := range []struct {
		title string
		all   []timed
	}{{"slowest packages", t.Packages}, {"slowest tests", t.Tests}, {"longest waits of tests", t.Waits}} {
		if len(list.all) > 0 {
			fmt.Fprintf(out, "%s:\n", list.title)
		}
		for _, one := range list.all {
			fmt.Fprintf(out, "%7.1f s  %s\n", one.Seconds, strings.TrimPrefix(one.Name, modulePrefix))
		}
	}
}

const modulePrefix = "github.com/akri-go/akri/"
