// Command testsum reads the output of `go test -json` from standard input and
// prints what `go test` itself would print. It saves in out/tests/<name>.json
// how many tests passed, failed and were skipped. With -total it prints the sum
// of all these files, the slowest tests and packages, the longest waits that
// tests reported (package eventually), what the processors did, and the tests
// that were skipped and why. It exits with 1 if a test or a
// package failed, or if there were no tests.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
)

const notesDir = "out/tests"

func main() {
	total := flag.Bool("total", false, "print the sum of all runs")
	flag.Parse()
	var n note
	var err error
	if *total {
		if n, err = sumNotes(notesDir); err == nil {
			n.printTimes(os.Stdout)
			n.Processors.print(os.Stdout)
			n.printSkips(os.Stdout)
			fmt.Println(n.counts)
		}
	} else {
		n, err = run(os.Stdin, os.Stdout, flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !n.good() {
		os.Exit(1)
	}
}

// event is one line of `go test -json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // instead of Package for builds
	Test        string
	Output      string
	FailedBuild string
	Elapsed     float64 // seconds
	Key, Value  string  // of an attribute
}

// counts says how many tests ended how; subtests are tests too.
type counts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	Broken  int `json:"broken"` // packages that failed outside of a test: did not build, panicked
}

func (c counts) good() bool { return c.Failed == 0 && c.Broken == 0 && c.Passed > 0 }

func (c counts) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.Passed, c.Failed)
	if c.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	if c.Broken > 0 {
		s += fmt.Sprintf(", %d packages broken", c.Broken)
	}
	return s
}

func (c *counts) add(o counts) {
	c.Passed += o.Passed
	c.Failed += o.Failed
	c.Skipped += o.Skipped
	c.Broken += o.Broken
}

// note is the saved result of one run of `go test`.
type note struct {
	counts
	times
	// Skips are tests that were skipped, "<package> <test>: <why>".
	Skips []string `json:"skips,omitempty"`
	// Processors is all that the machine did meanwhile. Of runs beside each other the
	// sum has the same time twice.
	Processors processors `json:"processors"`
}

func (n note) printSkips(out io.Writer) {
	if len(n.Skips) > 0 {
		fmt.Fprintln(out, "skipped:")
	}
	for _, s := range n.Skips {
		fmt.Fprintf(out, "  %s\n", strings.TrimPrefix(s, modulePrefix))
	}
}

// reason returns what a skipped test has said last, without the place in the
// source.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if file, rest, ok := strings.Cut(line, ": "); ok && strings.Contains(file, ".go:") {
			line = rest
		}
		return line
	}
	return "it does not say why"
}

func run(in io.Reader, out io.Writer, name string) (note, error) {
	if name == "" {
		return note{}, fmt.Errorf("the name of the note is missing: testsum <name>")
	}
	before := processorsNow(procfs.DefaultMountPoint)
	n, err := tally(in, out)
	if err != nil {
		return n, err
	}
	n.Processors = processorsNow(procfs.DefaultMountPoint).since(before)
	fmt.Fprintf(out, "%s: %s\n", name, n.counts)
	data, err := json.Marshal(n)
	if err != nil {
		return n, err
	}
	if err := os.MkdirAll(notesDir, 0o755); err != nil {
		return n, err
	}
	return n, os.WriteFile(filepath.Join(notesDir, name+".json"), data, 0o644)
}

// tally counts tests, and prints the output of packages and of failed tests.
func tally(in io.Reader, out io.Writer) (note, error) {
	var c counts
	var t times
	var skips []string
	held := map[string][]string{} // output of tests that have not ended
	failed := map[string]bool{}   // packages with a failed test
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // not from go test -json
			continue
		}
		if e.Test == "" {
			switch e.Action {
			case "output", "build-output":
				if e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "?   ") {
					fmt.Fprint(out, e.Output)
				}
			case "pass":
				t.Packages = append(t.Packages, timed{e.Package, e.Elapsed})
			case "fail":
				t.Packages = append(t.Packages, timed{e.Package, e.Elapsed})
				if !failed[e.Package] {
					c.Broken++
				}
			}
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "attr":
			t.wait(e)
			continue
		case "output":
			held[key] = append(held[key], e.Output)
			continue
		case "pass":
			c.Passed++
		case "skip":
			c.Skipped++
			skips = append(skips, key+": "+reason(held[key]))
		case "fail":
			c.Failed++
			failed[e.Package] = true
			for _, line := range held[key] {
				if !strings.HasPrefix(line, "=== ") {
					fmt.Fprint(out, line)
				}
			}
		default:
			continue
		}
		t.Tests = append(t.Tests, timed{key, e.Elapsed})
		delete(held, key)
	}
	// Tests that did not end: the program crashed in them.
	for key, output := range held {
		fmt.Fprintf(out, "--- DIED: %s\n%s", key, strings.Join(output, ""))
	}
	t.trim()
	return note{counts: c, times: t, Skips: skips}, lines.Err()
}

func sumNotes(dir string) (note, error) {
	var sum note
	names, err := fs.Glob(os.DirFS(dir), "*.json")
	if err != nil {
		return sum, err
	}
	for _, name := range names {
		p := filepath.Join(dir, name)
		data, err := os.ReadFile(p)
		if err != nil {
			return sum, err
		}
		var n note
		if err := json.Unmarshal(data, &n); err != nil {
			return sum, fmt.Errorf("read %s: %w", p, err)
		}
		sum.counts.add(n.counts)
		sum.times.add(n.times)
		sum.Skips = append(sum.Skips, n.Skips...)
		sum.Processors.add(n.Processors)
	}
	sum.trim()
	return sum, nil
}
