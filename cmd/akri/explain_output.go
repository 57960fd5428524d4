package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/explain"
)

// printAnswer writes an answer as text, JSON or YAML.
func printAnswer(w io.Writer, format string, a explain.Answer) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(a)
	case "yaml":
		b, err := yaml.Marshal(a)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
	_, err := io.WriteString(w, answerText(a))
	return err
}

const (
	// answerColumns is where lines are broken, commands aside.
	answerColumns = 100
	// maxAlike is how many findings of one cause are shown in full, and
	// maxFollowing how many are listed that follow from one.
	maxAlike, maxFollowing = 3, 8
)

// answerText is an answer for people: the answer, how things are, and each
// finding with what was seen, what to do, and what follows from it.
func answerText(a explain.Answer) string {
	var text strings.Builder
	fmt.Fprintln(&text, printable(a.Answer)) // one line, whatever its length
	for i, f := range a.Facts {
		if a.Subject == nil && len(a.Findings) == 0 {
			break // the answer has it
		}
		if i == 0 {
			text.WriteByte('\n')
		}
		line(&text, "", f.From+": "+f.Says)
	}
	shown := map[explain.Cause]int{}
	for _, f := range a.Findings {
		if followsFrom(a, f) {
			continue
		}
		if shown[f.Cause]++; shown[f.Cause] <= maxAlike {
			findingText(&text, a, f)
		}
	}
	for _, f := range a.Findings {
		if n := shown[f.Cause] - maxAlike; n > 0 {
			fmt.Fprintf(&text, "\n… and %d more of the cause %s; -o json has them all\n", n, f.Cause)
			delete(shown, f.Cause)
		}
	}
	if a.More > 0 {
		fmt.Fprintf(&text, "\n… and %d findings that were left out\n", a.More)
	}
	if len(a.Unseen) > 0 {
		fmt.Fprint(&text, "\nNOT SEEN, so nothing is concluded from what is missing there\n")
		for _, u := range a.Unseen {
			line(&text, "", u.What+": "+u.Why)
		}
	}
	return text.String()
}

// followsFrom reports whether a finding follows from one that is shown.
func followsFrom(a explain.Answer, f explain.Finding) bool {
	return f.Because != nil && slices.ContainsFunc(a.Findings, func(o explain.Finding) bool {
		return o.Cause == f.Because.Cause && o.Subject == f.Because.Subject
	})
}

func findingText(w *strings.Builder, a explain.Answer, f explain.Finding) {
	fmt.Fprintf(w, "\n%s: %s\n", strings.ToUpper(string(f.Level)), f.Cause)
	line(w, "", f.Subject.String()+": "+f.Summary)
	lines(w, "seen", evidenceOf(f))
	var do []string
	if f.Remedy.Text != "" {
		do = []string{f.Remedy.Text}
	}
	lines(w, "do", do)
	for i, c := range f.Remedy.Commands {
		label := ""
		if i == 0 && len(do) == 0 {
			label = "do"
		}
		fmt.Fprintf(w, "  %-5s %s\n", label, printable(c)) // to be copied: not broken
	}
	if f.Remedy.See != "" {
		line(w, "see", f.Remedy.See)
	}
	lines(w, "so", followers(a, f))
}

func evidenceOf(f explain.Finding) (out []string) {
	for _, e := range f.Evidence {
		out = append(out, e.From+": "+e.Says)
	}
	return out
}

// followers are the findings that follow from one, and those that follow from
// them.
func followers(a explain.Answer, f explain.Finding) []string {
	var out []string
	seen := map[explain.Ref]bool{}
	from := []explain.Ref{{Cause: f.Cause, Subject: f.Subject}}
	for len(from) > 0 {
		r := from[0]
		from = from[1:]
		for _, o := range a.Findings {
			own := explain.Ref{Cause: o.Cause, Subject: o.Subject}
			if o.Because == nil || *o.Because != r || seen[own] {
				continue
			}
			seen[own] = true
			from = append(from, own)
			out = append(out, o.Subject.String()+": "+o.Summary)
		}
	}
	if n := len(out) - maxFollowing; n > 0 {
		out = append(out[:maxFollowing], fmt.Sprintf("and %d more", n))
	}
	return out
}

// lines writes texts under one label, and line a text, broken where it is too
// long.
func lines(w *strings.Builder, label string, texts []string) {
	for _, t := range texts {
		line(w, label, t)
		label = ""
	}
}

func line(w *strings.Builder, label, text string) {
	if label == "" {
		label = "     "
	}
	fmt.Fprintf(w, "  %-5s %s\n", label, wrap(printable(text), answerColumns-8, "\n        "))
}
