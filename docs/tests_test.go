package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// `folder: TestOne, TestTwo/case`, as in upstream-faults.md.
	namedTests = regexp.MustCompile("`([a-zA-Z0-9_/-]+): ((?:Test|Fuzz)[A-Za-z0-9_/-]+(?:, (?:Test|Fuzz)[A-Za-z0-9_/-]+)*)`")
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// testsIn returns the names of the tests of a package, whatever their tags, and
// all the text of their files.
func testsIn(t *testing.T, dir string) (map[string]bool, string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names, text := map[string]bool{}, ""
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(data), -1) {
			names[m[1]] = true
		}
		text += string(data)
	}
	return names, text
}

// A test that a page names is there, and so is the case after its slash.
func TestNamedTests(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		for _, m := range namedTests.FindAllStringSubmatch(text, -1) {
			names, code := testsIn(t, m[1])
			for name := range strings.SplitSeq(m[2], ", ") {
				found++
				test, sub, _ := strings.Cut(name, "/")
				if !names[test] {
					t.Errorf("%s names %s in %s, which is not there", page, test, m[1])
				} else if sub != "" && !strings.Contains(code, `"`+sub+`"`) {
					t.Errorf("%s names the case %s of %s in %s, which is not there", page, sub, test, m[1])
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("%d tests are named", found)
	}
}
