package terminal

import (
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	var out strings.Builder
	s := Screen{Out: &out}
	s.Leave()
	if out.Len() > 0 {
		t.Errorf("leaves a screen that was not entered: %q", out.String())
	}
	s.Draw([]string{"one", "twenty"}, 3, 10)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[?1049h\x1b[H") || !strings.Contains(got, "one\x1b[K\r\ntwe\x1b[K\r\n") {
		t.Errorf("first drawing %q", got)
	}
	out.Reset()
	s.Draw([]string{"one", "twenty"}, 3, 10)
	if out.Len() > 0 {
		t.Errorf("draws what is there: %q", out.String())
	}
	s.Draw([]string{"1", "2", "3"}, 3, 3)
	if strings.Contains(out.String(), "3\x1b") {
		t.Error("draws more lines than fit")
	}
	s.Leave()
	if !strings.HasSuffix(out.String(), "\x1b[?1049l") {
		t.Errorf("does not leave: %q", out.String())
	}
}
