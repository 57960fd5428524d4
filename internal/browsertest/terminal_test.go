package browsertest

import (
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/terminal"
)

func TestScreen(t *testing.T) {
	var out strings.Builder
	if got := Screen(out.String()); got != "" {
		t.Errorf("nothing is shown: %q", got)
	}
	s := terminal.Screen{Out: &out}
	s.Draw([]string{"one", "", "two"}, 80, 24)
	s.Draw([]string{"one", "━━", "three"}, 80, 24)
	out.WriteString("\x1b[Hhalf of the next")
	if got := Screen(out.String()); got != "one\n━━\nthree" {
		t.Errorf("%q", got)
	}
}
