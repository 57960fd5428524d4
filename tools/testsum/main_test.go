package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	const in = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestS","Output":"=== RUN   TestS\n"}
{"Action":"output","Package":"p","Test":"TestS","Output":"    s_test.go:7: no disk: none\n"}
{"Action":"output","Package":"p","Test":"TestS","Output":"--- SKIP: TestS (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestS"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: loud\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
{"Action":"build-output","ImportPath":"q","Output":"q.go:1: syntax\n"}
{"Action":"fail","Package":"q","FailedBuild":"q"}
{"Action":"output","Package":"r","Output":"PASS\n"}
{"Action":"output","Package":"r","Output":"ok  \tr\t0.2s\n"}
{"Action":"pass","Package":"r"}
go: downloading something
{"Action":"output","Package":"d","Test":"TestD","Output":"panic: x\n"}
{"Action":"fail","Package":"d"}
`
	var out strings.Builder
	n, err := tally(strings.NewReader(in), &out)
	if err != nil {
		t.Fatal(err)
	}
	if want := (counts{Passed: 1, Failed: 1, Skipped: 1, Broken: 2}); n.counts != want {
		t.Errorf("%+v, want %+v", n.counts, want)
	}
	if want := []string{"p TestS: no disk: none"}; !slices.Equal(n.Skips, want) {
		t.Errorf("skipped %q, want %q", n.Skips, want)
	}
	if why := reason(nil); why != "it does not say why" {
		t.Errorf("a reason out of nothing: %q", why)
	}
	if n.good() || (counts{}).good() || !(counts{Passed: 1}).good() {
		t.Error("good() is wrong")
	}
	for _, want := range []string{"loud", "FAIL\tp", "q.go:1: syntax", "ok  \tr", "go: downloading", "panic: x"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "quiet") || strings.Contains(out.String(), "PASS") {
		t.Errorf("output has what passed:\n%s", &out)
	}
}

func TestTimes(t *testing.T) {
	var in strings.Builder
	for i := range 12 {
		fmt.Fprintf(&in, `{"Action":"pass","Package":"a/p","Test":"TestA/sub%d/x","Elapsed":%d}`+"\n", i, i)
	}
	in.WriteString(`{"Action":"pass","Package":"a/p","Test":"TestA/sub11","Elapsed":50}
{"Action":"pass","Package":"a/p","Test":"TestA","Elapsed":60}
{"Action":"attr","Package":"a/p","Test":"TestA","Key":"wait","Value":"1m2.5s Instance gone"}
{"Action":"attr","Package":"a/p","Test":"TestA","Key":"wait","Value":"bad"}
{"Action":"attr","Package":"a/p","Test":"TestA","Key":"other","Value":"1s x"}
{"Action":"pass","Package":"a/p","Elapsed":61}
`)
	n, err := tally(strings.NewReader(in.String()), new(strings.Builder))
	if err != nil {
		t.Fatal(err)
	}
	if want := []timed{{"a/p TestA: Instance gone", 62.5}}; !slices.Equal(n.Waits, want) {
		t.Errorf("waits %v, want %v", n.Waits, want)
	}
	if want := []timed{{"a/p", 61}}; !slices.Equal(n.times.Packages, want) {
		t.Errorf("packages %v, want %v", n.times.Packages, want)
	}
	if len(n.Tests) != maxKept || n.Tests[0] != (timed{"a/p TestA/sub11/x", 11}) {
		t.Errorf("tests %v", n.Tests)
	}
	var out strings.Builder
	n.printTimes(&out)
	if !strings.Contains(out.String(), "   62.5 s  a/p TestA: Instance gone\n") {
		t.Errorf("printed\n%s", &out)
	}
}

func TestProcessors(t *testing.T) {
	now := func(stat string) processors {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
			t.Fatal(err)
		}
		return processorsNow(dir)
	}
	before := now("cpu  1000 100 2000 30000 500 100 200 4000 0 0\ncpu0 1 2 3\n")
	if want := (processors{Busy: 34, Idle: 305, Taken: 40}); before != want {
		t.Errorf("%+v, want %+v", before, want)
	}
	for _, bad := range []string{"", "cpu 1 2 x 4 5 6 7 8", "intr 1 2 3 4 5 6 7 8"} {
		if p := now(bad); p != (processors{}) {
			t.Errorf("%q: %+v", bad, p)
		}
	}
	if p := processorsNow(t.TempDir()); p != (processors{}) {
		t.Errorf("an empty folder: %+v", p)
	}
	var out strings.Builder
	var sum processors
	sum.add(now("cpu  6000 100 2000 30500 500 100 200 8000 0 0\n").since(before))
	sum.print(&out)
	if want := "processors while tests ran: 52 % busy, 5 % idle, 42 % taken by the machine's host\n"; out.String() != want {
		t.Errorf("%s, want %s", &out, want)
	}
}
