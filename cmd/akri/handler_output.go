package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery/trial"
)

// trialPrinter shows the findings of a trial.
type trialPrinter struct {
	out    io.Writer
	format string
	failed func(error) // is told that a row could not be written
}

func newTrialPrinter(out io.Writer, format string) (*trialPrinter, error) {
	if !slices.Contains([]string{"table", "json", "yaml"}, format) {
		return nil, fmt.Errorf("unknown format %q: choose table, json or yaml", format)
	}
	return &trialPrinter{out: out, format: format, failed: func(error) {}}, nil
}

// maxRowRunes keeps a row in the width of most terminals.
const maxRowRunes = 120

// found shows a finding in a line, as soon as there is one: a trial takes time.
func (p *trialPrinter) found(f trial.Finding) {
	if p.format != "table" {
		return
	}
	level := string(f.Level)
	if f.Level == trial.Failure || f.Level == trial.Warning {
		level = strings.ToUpper(level)
	}
	row := []rune(fmt.Sprintf("%-8s  %-23s  %s", level, f.Check, printable(f.Got)))
	if len(row) > maxRowRunes {
		row = append(row[:maxRowRunes-1], '…')
	}
	if _, err := fmt.Fprintln(p.out, string(row)); err != nil {
		p.failed(err)
	}
}

// end shows what is to be done, and a summary.
func (p *trialPrinter) end(r trial.Report) error {
	switch p.format {
	case "json":
		e := json.NewEncoder(p.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "yaml":
		b, err := yaml.Marshal(r)
		if err == nil {
			_, err = p.out.Write(b)
		}
		return err
	}
	var text strings.Builder
	for _, level := range []trial.Level{trial.Failure, trial.Warning} {
		for _, f := range r.Findings {
			if f.Level != level {
				continue
			}
			fmt.Fprintf(&text, "\n%s: %s\n", strings.ToUpper(string(level)), f.Check)
			for _, line := range []struct{ name, says string }{
				{"done", f.Did}, {"came", f.Got}, {"wanted", f.Wants}, {"change", f.Change},
			} {
				if line.says != "" {
					fmt.Fprintf(&text, "  %-7s %s\n", line.name, wrap(printable(line.says), 90, "\n          "))
				}
			}
		}
	}
	fmt.Fprintf(&text, "\n%s: %d passed, %s, %s, %d skipped\n", countOf(len(r.Findings), "finding", "findings"),
		r.Count(trial.Pass),
		countOf(r.Count(trial.Warning), "warning", "warnings"), countOf(r.Count(trial.Failure), "failure",
			"failures"), r.Count(trial.Skipped))
	_, err := io.WriteString(p.out, text.String())
	return err
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// wrap breaks a text into lines at spaces.
func wrap(text string, columns int, newline string) string {
	var out strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case at+1+n > columns:
			out.WriteString(newline)
			at = 0
		default:
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += n
	}
	return out.String()
}
