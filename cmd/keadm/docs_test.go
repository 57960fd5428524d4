package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence = regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```")
	// words of a command line: with quotes, or without spaces.
	word = regexp.MustCompile(`'[^']*'|[^\s']+(?:'[^']*')*`)
)

// TestDocs sees that keadm takes the commands that the pages show. Nothing is done.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/edge/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages %v, error %v", pages, err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "" && m[1] != "sh" {
				continue
			}
			for line := range strings.Lines(strings.ReplaceAll(m[2], "\\\n", " ")) {
				line, _, _ = strings.Cut(line, " #")
				for part := range strings.SplitSeq(line, " | ") {
					at := strings.Index(part, "keadm ")
					if at < 0 || at > 0 && part[at-1] != ' ' {
						continue
					}
					found++
					var args []string
					for _, w := range word.FindAllString(part[at+len("keadm "):], -1) {
						if w != "…" { // what the page leaves out
							args = append(args, strings.ReplaceAll(w, "'", ""))
						}
					}
					cmd, rest, err := newCommand().Find(args)
					if err == nil {
						err = cmd.ParseFlags(rest)
					}
					if err == nil {
						err = cmd.ValidateArgs(cmd.Flags().Args())
					}
					if err != nil {
						t.Errorf("%s shows keadm %q: %v", filepath.Base(page), args, err)
					}
				}
			}
		}
	}
	if found < 12 {
		t.Errorf("%d commands", found)
	}
}
