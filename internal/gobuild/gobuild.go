// Package gobuild builds programs of this repository for tests.
package gobuild

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/akri-go/akri/internal/images"
)

// Program builds the program with an import path and returns its file. It is built as
// for its image, so that what is compiled for that is not compiled again, as it would
// be with cgo, which the race detector needs.
func Program(t testing.TB, pkg string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), path.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", images.Tags, "-ldflags", "-s -w", "-o", file, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return file
}
