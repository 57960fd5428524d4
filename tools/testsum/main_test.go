package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	const in = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
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
	c, err := tally(strings.NewReader(in), &out)
	if err != nil {
		t.Fatal(err)
	}
	if want := (counts{Passed: 1, Failed: 1, Skipped: 1, Packages: 2}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
	if c.good() || (counts{}).good() || !(counts{Passed: 1}).good() {
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
