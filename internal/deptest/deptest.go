// Package deptest tests what packages may import. Its own test has this
// repository's rules.
//
// A pattern is an import path, or a path with "/..." for all packages at and
// below it. One that begins with "./" is in this module. The standard library
// is included.
package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Graph holds the imports of each package, without those of tests.
type Graph struct {
	module  string
	imports map[string][]string
}

// Load runs the go tool for all packages of the module in a folder, and for all
// their dependencies.
func Load(folder string) (*Graph, error) {
	if err := look(folder); err != nil {
		return nil, err
	}
	module, err := run(folder, "list", "-m")
	if err != nil {
		return nil, err
	}
	packages, err := run(folder, "list", "-deps", "-json=ImportPath,Imports", "./...")
	if err != nil {
		return nil, err
	}
	g := &Graph{module: string(bytes.TrimSpace(module)), imports: map[string][]string{}}
	for d := json.NewDecoder(bytes.NewReader(packages)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		g.imports[p.ImportPath] = p.Imports
	}
}

func run(folder string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = folder
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return out, nil
}

// look reads the folders of the module. go test caches a test's result until
// files that the test itself has read change; what the go tool reads does not
// count.
func look(folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != folder && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "bin", "out"}, name)) {
			return fs.SkipDir
		}
		return nil
	})
}

// Rule says what some packages must not depend on, directly or indirectly.
type Rule struct {
	// From are patterns of packages, without those of Except.
	From, Except []string
	// Not are patterns of what they must not depend on, without those of But.
	Not, But []string
}

// Check returns a shortest chain of imports for each package that breaks a rule
// and each forbidden pattern. A package that breaks it only through another
// such package is not reported. A pattern without match is an error: it is
// misspelt or outdated.
func (g *Graph) Check(r Rule) (chains []string, err error) {
	for _, list := range [][]string{r.From, r.Except, r.Not, r.But} {
		for _, pattern := range list {
			if !g.any(pattern) {
				err = errors.Join(err, fmt.Errorf("no package matches %s", pattern))
			}
		}
	}
	held := func(path string) bool { return g.matches(path, r.From) && !g.matches(path, r.Except) }
	for path := range g.imports {
		if !held(path) {
			continue
		}
		for _, not := range r.Not {
			chain := g.chain(path, func(to string) bool { return g.matches(to, []string{not}) && !g.matches(to, r.But) })
			if len(chain) > 0 && !slices.ContainsFunc(chain[1:len(chain)-1], held) {
				chains = append(chains, strings.ReplaceAll(strings.Join(chain, "\n\t→ "), g.module+"/", "./"))
			}
		}
	}
	slices.Sort(chains)
	return chains, err
}

// chain returns the shortest chain from one package to a wanted one; nil if
// there is none.
func (g *Graph) chain(from string, wanted func(string) bool) []string {
	by := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, to := range g.imports[queue[0]] {
			if _, seen := by[to]; seen {
				continue
			}
			by[to] = queue[0]
			if !wanted(to) {
				queue = append(queue, to)
				continue
			}
			var chain []string
			for at := to; at != ""; at = by[at] {
				chain = append(chain, at)
			}
			slices.Reverse(chain)
			return chain
		}
	}
	return nil
}

func (g *Graph) any(pattern string) bool {
	for path := range g.imports {
		if g.matches(path, []string{pattern}) {
			return true
		}
	}
	return false
}

func (g *Graph) matches(path string, patterns []string) bool {
	for _, p := range patterns {
		if rest, own := strings.CutPrefix(p, "./"); own {
			p = g.module + "/" + rest
		}
		if base, below := strings.CutSuffix(p, "/..."); path == p || below && (path == base || strings.HasPrefix(path, base+"/")) {
			return true
		}
	}
	return false
}
