// Package docs checks the documentation: links lead somewhere, and examples are
// valid.
package docs

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
)

// pages returns the text of every Markdown file of the repository, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "out", "bin", "testdata":
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 5 {
		t.Fatalf("only %d pages", len(out))
	}
	return out
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence   = regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```")
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	unsaid  = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are those that GitHub makes of a page's headings.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		out[strings.ReplaceAll(unsaid.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return out
}

func TestLinks(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
	}
}

// Every page can be reached from the README by links. A link to a folder is one to
// its README.
func TestEveryPageIsReached(t *testing.T) {
	all := pages(t)
	reached, next := map[string]bool{}, []string{filepath.Join("..", "README.md")}
	for len(next) > 0 {
		page := next[0]
		next = next[1:]
		if _, is := all[page]; !is || reached[page] {
			continue
		}
		reached[page] = true
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(all[page], ""), -1) {
			file, _, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(page), file)
			next = append(next, target, filepath.Join(target, "README.md"))
		}
	}
	for page := range all {
		if !reached[page] {
			t.Errorf("no link leads from the README to %s", page)
		}
	}
}

// Every YAML example is valid YAML, and every Configuration among them is valid
// and has no misspelt field.
func TestExamples(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] != "yaml" {
				continue
			}
			// "…" stands for what the page leaves out.
			example := bytes.ReplaceAll([]byte(m[2]), []byte("…"), []byte("{}"))
			var meta metav1.TypeMeta
			if err := yaml.Unmarshal(example, &meta); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, m[2])
				continue
			}
			if meta.Kind != "Configuration" {
				continue
			}
			found++
			var c akri.Configuration
			if err := yaml.UnmarshalStrict(example, &c); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, m[2])
			}
			if c.Spec.DiscoveryHandler.Name == "" {
				t.Errorf("%s: a Configuration without a handler:\n%s", page, m[2])
			}
		}
	}
	if found < 2 {
		t.Errorf("%d examples of a Configuration", found)
	}
}

// maxColumns is how long a line of prose may be.
const maxColumns = 120

// TestColumns finds lines of prose that are too long. Tables, code and single
// words cannot be broken.
func TestColumns(t *testing.T) {
	for page, text := range pages(t) {
		for line := range strings.Lines(fence.ReplaceAllString(text, "")) {
			line = strings.TrimRight(line, "\n")
			prose := strings.TrimLeft(line, " *-")
			if utf8.RuneCountInString(line) <= maxColumns || strings.HasPrefix(prose, "|") || strings.HasPrefix(prose, "#") || !strings.Contains(prose, " ") {
				continue
			}
			t.Errorf("%s: longer than %d columns: %s", page, maxColumns, line)
		}
	}
}

// maxPicture is how large a picture may be, in bytes.
const maxPicture = 200_000

// TestPictures sees that each picture is on a page, and small.
func TestPictures(t *testing.T) {
	all := ""
	for _, text := range pages(t) {
		all += text
	}
	files, err := os.ReadDir("images")
	if err != nil || len(files) == 0 {
		t.Fatalf("pictures %v, error %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxPicture {
			t.Errorf("%s has %d bytes, %d are allowed", f.Name(), info.Size(), maxPicture)
		}
		if !strings.Contains(all, "images/"+f.Name()+")") {
			t.Errorf("no page shows %s", f.Name())
		}
	}
}

// A folder's README leads to each of its pages.
func TestFolderOfEdge(t *testing.T) {
	all := pages(t)
	index := all[filepath.Join("..", "docs", "edge", "README.md")]
	for page := range all {
		if dir, name := filepath.Split(page); dir == filepath.Join("..", "docs", "edge")+"/" && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/edge/README.md does not lead to %s", name)
		}
	}
}
