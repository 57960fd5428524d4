package guest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/akri-go/akri/test/vm/wire"
)

func TestConsole(t *testing.T) {
	for _, tt := range []struct {
		text, why string
		known     bool
	}{
		{"[    0.0] Linux version 6.1\r\n", "", false},
		{wire.ReadyLine, "", false}, // the line is not over
		{"[    1.0] usb\r\n" + wire.ReadyLine + "\r\n", "", true},
		{"[    1.0] x " + wire.FailedPrefix + "no network\r\n" + wire.ReadyLine + "\r\n", "no network", true},
		{wire.ReadyLine + "\n" + wire.FailedPrefix + "late\n", "", true},
		{strings.Repeat("x", 2*maxConsoleLine) + wire.ReadyLine + "\n", "", false},
	} {
		c := newConsole()
		for part := range strings.SplitAfterSeq(tt.text, " ") {
			fmt.Fprint(c, part)
		}
		known := false
		select {
		case <-c.ready:
			known = true
		default:
		}
		if known != tt.known || c.failure() != tt.why || c.text.String() != tt.text {
			t.Errorf("%.60q: known %v, %q", tt.text, known, c.failure())
		}
	}
}
