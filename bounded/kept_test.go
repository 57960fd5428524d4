package bounded

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Programs that run in a cluster listen on TCP by this package, and know their
// container's memory limit.
func TestUsedByAll(t *testing.T) {
	mainPackage := regexp.MustCompile(`(?m)^package main$`)
	plain := regexp.MustCompile(`net\.Listen\(|ListenAndServe|tls\.Listen\(|ListenTCP\(|ListenConfig\{`)
	mains := map[string]bool{} // folders of programs; true: it bounds its memory
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch file {
			case ".git", "bin", "out", "test", "tools", "bounded", "internal/devcluster", "internal/freeport":
				return fs.SkipDir
			}
			if strings.HasSuffix(file, "test") { // packages that only tests use, such as opcuatest
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		if plain.Match(text) {
			t.Errorf("%s listens without bounds", file)
		}
		dir := path.Dir(file)
		if (strings.HasPrefix(dir, "cmd/") || strings.HasPrefix(dir, "samples/")) && mainPackage.Match(text) {
			mains[dir] = mains[dir] || strings.Contains(string(text), "bounded.Memory(")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(mains, "cmd/akri") // these run in a shell
	delete(mains, "cmd/keadm")
	if len(mains) < 6 {
		t.Errorf("only the programs %v", mains)
	}
	for dir, bounds := range mains {
		if !bounds {
			t.Errorf("%s does not know its container's memory limit", dir)
		}
	}
}
