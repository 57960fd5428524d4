//go:build integration

package camera

import (
	"crypto/sha256"
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/peers"
)

// Upstream's application is in Python: the client of gRPC that it uses gets the
// picture, with the messages made from our .proto file.
func TestPython(t *testing.T) {
	packages := peers.PyPI(t, "grpcio==1.85.1", "grpcio-tools==1.85.1", "PyYAML==6.0.3")
	r := start(t)
	want := sha256.Sum256(r.put(t, 1))
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/client.py", r.address)
	cmd.Env = append(cmd.Environ(), "PYTHONPATH="+packages, "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := strings.Fields(string(out)); len(got) != 2 || got[0] != "/dev/video0" || got[1] != hex.EncodeToString(want[:]) {
		t.Errorf("%s", out)
	}
}
