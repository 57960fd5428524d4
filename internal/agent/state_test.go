package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckStateDir(t *testing.T) {
	root := t.TempDir()
	handlers, other := filepath.Join(root, "akri"), filepath.Join(root, "akri-agent")
	for _, folder := range []string{handlers, other} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(root, "link")
	if err := os.Symlink(handlers, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, handlers, state string
		ok                    bool
	}{
		{"the defaults", "/var/lib/akri", DefaultStateDir, true},
		{"beside it", handlers, other, true},
		{"above it", handlers, root, true},
		{"itself", handlers, handlers + "/", false},
		{"what was the default", handlers, filepath.Join(handlers, "agent"), false},
		{"by dots", handlers, filepath.Join(other, "../akri/x/y"), false},
		{"by a link", handlers, filepath.Join(link, "x"), false},
		{"handlers by a link", link, filepath.Join(handlers, "x"), false},
	} {
		err := checkStateDir(test.handlers, test.state)
		if test.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "--state-dir") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
