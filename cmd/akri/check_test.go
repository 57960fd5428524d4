package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const head = "apiVersion: akri.sh/v0\nkind: Configuration\nmetadata: {name: cam}\nspec:\n  discoveryHandler:\n    name: udev\n    discoveryDetails: |\n      udevRules:\n"
	for _, tt := range []struct {
		name, in string
		want     []string
		err      string
	}{
		{"good", head + "      - KERNEL==\"video*\"\n---\nkind: Pod\napiVersion: v1\n", []string{"Configuration cam: good\n"}, ""},
		{"warning", head + "      - KERNEL==\"a|b\"\n", []string{"cam: good", "  warning: udev rule 1, column 1: KERNEL:"}, ""},
		{"bad rule", head + "      - KERNEL=\"a\"\n", []string{"cam: refused", "  error: spec.discoveryHandler.discoveryDetails: Invalid value: udevRules: rule 1 of 1: column 7:"}, "1 of 1 would be refused"},
		{"no slot", head + "      - KERNEL==\"a\"\n  capacity: 0\n", []string{"error: spec.capacity"}, "refused"},
		{"misspelt", head + "      - KERNEL==\"a\"\n  capacty: 1\n", []string{`error: `, `unknown field "spec.capacty"`}, "refused"},
		{"one of two", head + "      - KERNEL==\"a\"\n---\n" + head + "      []\n", []string{"cam: good", "cam: refused"}, "1 of 2"},
		{"nothing", "kind: Pod\napiVersion: v1\n", nil, "no Configuration"},
		{"no YAML", "{", nil, "document 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := newAkriCommand()
			cmd.SetArgs([]string{"check", "-f", "-"})
			cmd.SetIn(strings.NewReader(tt.in))
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			err := cmd.ExecuteContext(t.Context())
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}
