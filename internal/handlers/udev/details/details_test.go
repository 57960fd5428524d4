package details

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	d, err := Parse("udevRules:\n- 'KERNEL==\"a\"'\n- TAG==\"b\"\ngroupRecursive: true\npermissions: rm\n")
	if err != nil || len(d.Rules) != 2 || !d.GroupRecursive || d.Permissions != "rm" || !d.UsesRecords() {
		t.Errorf("got %+v, %v", d, err)
	}
	d, err = Parse(`{"udevRules": ["KERNEL==\"a\""]}`)
	if err != nil || d.GroupRecursive || d.Permissions != "rwm" || d.UsesRecords() {
		t.Errorf("got %+v, %v", d, err)
	}
	for _, p := range []string{"r", "w", "m", "rw", "rm", "wm", "rwm"} {
		if d, err := Parse("udevRules: ['KERNEL==\"a\"']\npermissions: " + p); err != nil || d.Permissions != p {
			t.Errorf("%s: %v", p, err)
		}
	}
	const ok = "udevRules: ['KERNEL==\"a\"']\n"
	for text, want := range map[string]string{
		"":                            "udevRules is missing",
		"[]":                          "not a mapping",
		"x":                           "not a mapping",
		"\t":                          "found character",
		"groupRecursive: true":        "udevRules is missing",
		"udevRules: []":               "selects nothing",
		"udevRules:":                  "selects nothing",
		"udevRules: x":                "udevRules: not a list",
		"udevRules: [1]":              "udevRules: not a list",
		"udevRules: ['KERNEL=\"a\"']": "rule 1 of 1: column 7",
		"udevRules: ['']":             "rule 1 of 1: column 1: the rule is empty",
		ok + "udevRule: []":           "udevRule: unknown key",
		ok + "UdevRules: []":          "UdevRules: unknown key",
		ok + "udevRules: []":          "already",
		ok + "groupRecursive: 1":      "groupRecursive: neither",
		ok + "identifyBy: name":       "identifyBy: must be one of path, serial, devpath",
		ok + "groupBy: usb":           "groupBy: must be hardware",
		ok + "describe: true":         "describe: must be hardware",
		ok + "groupBy: hardware\ngroupRecursive: true": "does not go with groupRecursive",
		ok + "extraNodes: /dev/snd/timer":              "extraNodes: not a list",
		ok + "extraNodes: [/dev/../etc/x]":             "extraNodes: not a list",
		ok + "containerPath: /etc/passwd":              "containerPath: not the path",
		ok + "containerPath: /dev/":                    "containerPath: not the path",
		ok + "links: always":                           "links: must be property or container",
		ok + "permissions: mw":                         "permissions: must be one of r, w, m, rw, rm, wm, rwm",
		ok + "permissions: ''":                         "permissions: must",
		ok + "permissions: 7":                          "permissions: must",
		ok + "# " + strings.Repeat("x", 3<<20):         "longer",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("udevRules: ['KERNEL==\"a\"']\npermissions: r\ngroupRecursive: false")
	f.Add(`{"udevRules": [], "x": {"<<": [1]}}`)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err == nil && (len(d.Rules) == 0 || !slices.Contains(permissions, d.Permissions)) {
			t.Errorf("%q: %+v", s, d)
		}
	})
}
