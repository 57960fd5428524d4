package exitcode

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{AsUsage(nil), 0},
		{errors.New("x"), 1},
		{Usagef("no %s", "x"), 2},
		{fmt.Errorf("more: %w", AsUsage(fs.ErrNotExist)), 2},
		{flag.ErrHelp, 0},
		{AsUsage(flag.ErrHelp), 0},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	if err := AsUsage(fs.ErrNotExist); !errors.Is(err, fs.ErrNotExist) || err.Error() != fs.ErrNotExist.Error() {
		t.Errorf("the error is lost: %v", err)
	}
}

func TestText(t *testing.T) {
	if !strings.Contains(ServiceText(), "SIGTERM") {
		t.Error(ServiceText())
	}
	text := Text("all is well", "something failed")
	for _, want := range []string{"\n  0  all is well\n", "\n  1  something failed\n", "\n  2  it was called wrongly"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
