package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// causes returns the words of all causes.
func causes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "cause.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					if word, err := strconv.Unquote(lit.Value); err == nil {
						all = append(all, word)
					}
				}
			}
		}
		return true
	})
	if len(all) < 50 {
		t.Fatalf("%d causes", len(all))
	}
	return all
}

// Each cause has a case in the tests, and a line on the page.
func TestCauses(t *testing.T) {
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	cases := ""
	for _, f := range tests {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		cases += string(b)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, word := range causes(t) {
		if seen[word] {
			t.Errorf("two causes are called %s", word)
		}
		seen[word] = true
		if !strings.Contains(cases, "problem "+word+" ") && !strings.Contains(cases, "warning "+word+" ") && !strings.Contains(cases, "note "+word+" ") {
			t.Errorf("no test has the cause %s", word)
		}
		if !strings.Contains(string(page), "`"+word+"`") {
			t.Errorf("docs/troubleshooting.md does not name the cause %s", word)
		}
	}
}

// The pages that remedies name are there.
func TestPages(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range sources {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(b), `"docs/`)[1:] {
			page, _, _ := strings.Cut(part, `"`)
			if !strings.HasSuffix(page, ".md") {
				continue
			}
			found++
			if _, err := os.Stat(filepath.Join("..", "..", "docs", page)); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d pages are named", found)
	}
}
