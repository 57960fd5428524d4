//go:build e2e

package labs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/devcluster"
)

// person reads until some words, and presses Ctrl-C.
type person struct {
	bytes.Buffer
	until string
	leave func()
}

func (p *person) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte(p.until)) {
		p.leave()
	}
	return p.Buffer.Write(text)
}

// Both labs, from a machine without a cluster to one without a cluster.
func TestLabs(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range All() {
		t.Run(lab.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cluster")
			t.Cleanup(func() { // only if the lab has not
				if err := devcluster.Down(context.Background(), dir, os.Stderr); err != nil {
					t.Error(err)
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := person{until: "Ctrl-C removes everything", leave: cancel}
			if err := Run(ctx, lab, Options{Dir: dir, Repo: repo, Out: &out, Sys: os.DirFS("/sys"), Stay: true}); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			text := out.String()
			for _, s := range lab.Steps {
				for _, want := range []string{s.Title, s.Mark, string(s.Check)} {
					if !strings.Contains(text, want) {
						t.Errorf("the lab does not say %q", want)
					}
				}
			}
			for _, want := range []string{lab.Done, "The page is at http://", "the lab " + lab.Name + " works"} {
				if !strings.Contains(text, want) {
					t.Errorf("the lab does not say %q", want)
				}
			}
			if t.Failed() || testing.Verbose() {
				t.Log(text)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the cluster's folder is still there (%v)", err)
			}
		})
	}
}
