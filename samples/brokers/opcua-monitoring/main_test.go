package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestSaysWhyItEnds runs the program itself: the library's log is discarded, and
// its own must not be.
func TestSaysWhyItEnds(t *testing.T) {
	const asProgram = "AKRI_TEST_AS_PROGRAM"
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	for variable, says := range map[string]string{"LOG_LEVEL=loud": "loud", "IDENTIFIER=": "IDENTIFIER is not set"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSaysWhyItEnds$")
		cmd.Env = []string{asProgram + "=1", "OPCUA_DISCOVERY_URL=opc.tcp://127.0.0.1:1", variable}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) {
			t.Errorf("%s: %v, want a word about %s:\n%s", variable, err, says, out)
		}
	}
}
