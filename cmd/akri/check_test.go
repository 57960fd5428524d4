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
		{"warning", head + "      - KERNEL!=\"sd*\"\n", []string{"cam: good", "  warning: udev rule 1, column 1: KERNEL:"}, ""},
		{"bad rule", head + "      - KERNEL=\"a\"\n", []string{"cam: refused", "  error: spec.discoveryHandler.discoveryDetails: Invalid value: udevRules: rule 1 of 1: column 7:"}, "1 of 1 would be refused"},
		{"no slot", head + "      - KERNEL==\"a\"\n  capacity: 0\n", []string{"error: spec.capacity"}, "refused"},
		{"misspelt", head + "      - KERNEL==\"a\"\n  capacty: 1\n", []string{`error: `, "spec.capacty: Invalid value: there is no such field"}, "refused"},
		{"one of two", head + "      - KERNEL==\"a\"\n---\n" + head + "      []\n", []string{"cam: good", "cam: refused"}, "1 of 2"},
		{"name in capitals", strings.Replace(head, "name: cam", "name: Cam", 1) + "      - KERNEL==\"a\"\n", []string{"Cam: refused", "metadata.name: Invalid value: \"Cam\": a lowercase RFC 1123 subdomain"}, "refused"},
		{"too long a name", strings.Replace(head, "name: cam", "name: "+strings.Repeat("c", 57), 1) + "      - KERNEL==\"a\"\n", []string{"refused\n  error: metadata.name: Invalid value: must be at most 56 characters"}, "refused"},
		{"a fraction", head + "      - KERNEL==\"a\"\n  capacity: 1.5\n", []string{"error: spec.capacity: Invalid value: must be an integer, and this is a fraction"}, "refused"},
		{"endless grace", head + "      - KERNEL==\"a\"\n    offlineGracePeriod: 99999999999h\n", []string{"offlineGracePeriod: Invalid value: write numbers with units"}, "refused"},
		{"no name", strings.Replace(head, "name: cam", "", 1) + "      - KERNEL==\"a\"\n", []string{"Configuration without a name: refused\n  error: metadata.name: Required value"}, "refused"},
		{"misspelt metadata", strings.Replace(head, "name: cam", "name: cam, label: {}", 1) + "      - KERNEL==\"a\"\n", []string{"error: metadata.label: Invalid value: there is no such field"}, "refused"},
		{"too much capacity", head + "      - KERNEL==\"a\"\n  capacity: 20000\n", []string{"error: spec.capacity: Invalid value: 20000: should be less than or equal to 10000"}, "refused"},
		{"capacity in quotes", head + "      - KERNEL==\"a\"\n  capacity: \"2\"\n", []string{"error: spec.capacity: Invalid value: must be an integer, and this is text: write it without quotes"}, "refused"},
		{"no bar", strings.Replace(head, "discoveryDetails: |", "discoveryDetails:", 1) + "      - KERNEL==\"a\"\n", []string{"refused\n  error: spec.discoveryHandler.discoveryDetails: Invalid value: must be text, and this is a map: write `discoveryDetails: |` and leave the lines below as they are"}, "refused"},
		{"grace in words", head + "      - KERNEL==\"a\"\n    offlineGracePeriod: 5 minutes\n", []string{"spec.discoveryHandler.offlineGracePeriod: Invalid value: \"5 minutes\": write numbers with units, as in 300s, 5m or 1h30m"}, "refused"},
		{"grace without a unit", head + "      - KERNEL==\"a\"\n    offlineGracePeriod: 300\n", []string{"must be text, and this is an integer: say the unit too, as in 300s or 5m"}, "refused"},
		{"negative grace", head + "      - KERNEL==\"a\"\n    offlineGracePeriod: -5m\n", []string{"offlineGracePeriod: Invalid value: \"-5m\": must not be negative"}, "refused"},
		{"other version", strings.Replace(head, "akri.sh/v0", "akri.sh/v1", 1) + "      - KERNEL==\"a\"\n", []string{`error: apiVersion: is "akri.sh/v1": write akri.sh/v0`}, "refused"},
		{"no group", strings.Replace(head, "akri.sh/v0", "v1", 1) + "      - KERNEL==\"a\"\n", []string{`error: apiVersion: is "v1": write akri.sh/v0`}, "refused"},
		{"another's Configuration", "kind: Configuration\napiVersion: example.org/v1\n", nil, "no Configuration"},
		{"misspelt kind", strings.Replace(head, "kind: Configuration", "kind: configuration", 1) + "      - KERNEL==\"a\"\n", []string{`error: kind: is "configuration"`}, "refused"},
		{"a key twice", head + "      - KERNEL==\"a\"\n  capacity: 1\n  capacity: 2\n", []string{`error: line 11: key "capacity" already set in map`}, "refused"},
		{"list", "kind: List\napiVersion: v1\nitems:\n- {kind: Configuration, apiVersion: akri.sh/v0, metadata: {name: cam}, spec: {discoveryHandler: {name: mine}}}\n", []string{"cam: good"}, ""},
		{"all at once", strings.NewReplacer("name: cam", "name: Cam", "discoveryDetails: |", "discoveryDetails:").Replace(head) + "      - KERNEL==\"a\"\n  capacity: 20000\n" +
			"  brokerSpec:\n    brokerPodSpec:\n      containers: [{name: b, image: b, resources: {requests: {\"{{PLACEHOLDER}}\": 500m}}}]\n",
			[]string{"metadata.name", "spec.capacity", "write `discoveryDetails: |`", "is 500m: write a whole number of devices", "is only in requests"}, "1 of 1"},
		{"nothing", "kind: Pod\napiVersion: v1\n", nil, "no Configuration"},
		{"no YAML", "{", nil, "standard input: document 1"},
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
