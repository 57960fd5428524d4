package logging

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestProblem(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, "")
	if err != nil {
		t.Fatal(err)
	}
	problem := Problem{What: "cannot save"}
	problem.Is(log, nil)
	if out.Len() > 0 {
		t.Errorf("all is well, and it says %q", out.String())
	}
	for range 100 {
		problem.Is(log, errors.New("no space left on device"))
	}
	if n := strings.Count(out.String(), "no space left"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, out.String())
	}
	problem.Is(log, nil)
	problem.Is(log, nil)
	if n := strings.Count(out.String(), `msg="this works again" what="cannot save"`); n != 1 {
		t.Errorf("that it is over is said %d times:\n%s", n, out.String())
	}
	problem.Is(log, errors.New("again"))
	if n := strings.Count(out.String(), "error=again"); n != 1 {
		t.Errorf("a second time it is said %d times", n)
	}
}
