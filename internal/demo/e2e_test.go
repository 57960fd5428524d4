//go:build e2e

package demo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/akri-go/akri/internal/devcluster"
)

// The whole demo without a person: images, cluster, chart, a device that comes
// and goes, the dashboard; at the end nothing is left.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() { // only if the demo has not
		if _, err := devcluster.Open(dir); err == nil {
			if err := devcluster.Down(context.Background(), dir, os.Stderr); err != nil {
				t.Error(err)
			}
		}
	})
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sys := os.DirFS("/sys")
	zram, err := Choose(sys, "zram")
	if err != nil {
		t.Fatal(err)
	}
	before := len(zram.Devices(sys))
	var out bytes.Buffer
	err = Run(t.Context(), Options{Dir: dir, Repo: repo, Subject: "zram", Out: &out, Remove: true, Sys: sys})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"has opened its device", "the dashboard shows the device and its broker", "its Instance and its broker are gone", "the demo works"} {
		if !bytes.Contains(out.Bytes(), []byte(want)) {
			t.Errorf("the demo does not say %q:\n%s", want, &out)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the cluster's folder is still there (%v)", err)
	}
	if after := len(zram.Devices(sys)); after > before {
		t.Errorf("%d zram devices, %d before", after, before)
	}
}
