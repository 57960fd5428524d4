//go:build integration

package docs

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/peers"
)

// The commands of write-a-handler.md work as they are written, from the first one
// to two handlers without a fault. Only their folders are elsewhere.
func TestWriteAHandler(t *testing.T) {
	page, err := os.ReadFile("write-a-handler.md")
	if err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(string(page), "\n## Before you start\n")
	steps, _, _ = strings.Cut(steps, "\n## What `akri handler test` looks at\n")
	script := []string{"set -eu"}
	for _, m := range fence.FindAllStringSubmatch(steps, -1) {
		if m[1] == "sh" && !strings.Contains(m[2], "--directory") { // which waits for a person
			script = append(script, m[2])
		}
	}
	if len(script) < 9 {
		t.Fatalf("only %d commands", len(script))
	}
	peers.PyPI(t, "grpcio==1.85.1", "grpcio-tools==1.85.1", "PyYAML==6.0.3") // or skips
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(strings.Join(script, "\n"), "/tmp/", dir+"/"))
	cmd.Dir = ".."
	// For CPU time: akri is not compiled with cgo too, which the race detector needs,
	// nor Python's libraries, of which little is used.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "PIP_NO_COMPILE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "20 findings: 20 passed, 0 warnings, 0 failures, 0 skipped") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}
