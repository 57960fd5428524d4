package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// `folder: TestOne, TestTwo/case`, as in upstream-faults.md.
	namedTests = regexp.MustCompile("`([a-zA-Z0-9_/-]+): ((?:Test|Fuzz)[A-Za-z0-9_/-]+(?:, (?:Test|Fuzz)[A-Za-z0-9_/-]+)*)`")
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// testsIn returns the names of the tests of a package, whatever their build
// tags, and the text of their files.
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

// A test that a page names exists, and so does the case after its slash.
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

var namedFuncs = regexp.MustCompile("`([a-z][a-z0-9/]+/[a-z0-9]+): ([A-Z][A-Za-z]*)`")

// A function that a page names exists.
func TestNamedFunctions(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		for _, m := range namedFuncs.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[2], "Test") {
				continue
			}
			found++
			files, err := filepath.Glob(filepath.Join("..", m[1], "*.go"))
			if err != nil {
				t.Fatal(err)
			}
			declared := regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?` + m[2] + `\(`)
			if !slices.ContainsFunc(files, func(file string) bool {
				data, err := os.ReadFile(file)
				return err == nil && !strings.HasSuffix(file, "_test.go") && declared.Match(data)
			}) {
				t.Errorf("%s names the function %s of %s, which is not there", page, m[2], m[1])
			}
		}
	}
	if found < 8 {
		t.Errorf("%d functions are named", found)
	}
}
