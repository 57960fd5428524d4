//go:build e2e

package devcluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cell/celltest"
)

// TestInterruptedUp stops Up at several moments; afterwards Down cleans up, or
// Up continues.
func TestInterruptedUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() {
		if err := Down(context.Background(), dir, nil); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	for _, at := range []string{"cluster in", "namespaces made", "containerd ready", "API server ready"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := Up(ctx, Options{Dir: dir, Progress: &trigger{text: at, do: cancel}, Install: true})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted up: %v", err)
			}
			c, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			remains := celltest.Remains(t, c.lab())
			if at == "namespaces made" {
				if _, err := Up(t.Context(), Options{Dir: dir, Progress: os.Stderr}); err != nil {
					t.Fatalf("up after an interrupted up: %v", err)
				}
			}
			if err := Down(t.Context(), dir, nil); err != nil {
				t.Fatal(err)
			}
			remains()
		})
	}
}

// trigger calls do when text is written.
type trigger struct {
	text string
	do   func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.do()
	}
	return len(p), nil
}
