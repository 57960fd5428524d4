package fields

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	got, err := Parse("a: 1\nb: {c: d}\n")
	if err != nil || string(got["a"]) != "1" || string(got["b"]) != `{"c":"d"}` || len(got) != 2 {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := Parse(""); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"\t": "cannot start any token", "7": "not a mapping", "[a]": "not a mapping", "a: 1\na: 2": "already set",
		"#" + strings.Repeat("x", maxDetailsBytes): "longer than 262144 bytes",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func TestOnly(t *testing.T) {
	if got, err := Only(json.RawMessage(`{"a":1}`), "a", "b"); err != nil || string(got["a"]) != "1" {
		t.Errorf("%s, %v", got, err)
	}
	for text, want := range map[string]string{`{"c":1}`: `unknown key "c": the keys are a and b`, `7`: "want a mapping with some of the keys a and b"} {
		if _, err := Only(json.RawMessage(text), "a", "b"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestTexts(t *testing.T) {
	if got, err := Texts(json.RawMessage(`["a","b"]`), 2); err != nil || strings.Join(got, " ") != "a b" {
		t.Errorf("%s, %v", got, err)
	}
	for text, want := range map[string]string{`[1]`: "not a list of texts", `"a"`: "not a list", `["a","b","c"]`: "3 entries, at most 2"} {
		if _, err := Texts(json.RawMessage(text), 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{`"30s"`: 30 * time.Second, `"24h"`: 24 * time.Hour, `""`: 10 * time.Second, `null`: 10 * time.Second} {
		if got, err := Interval(json.RawMessage(text)); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{`30`: "not a duration such as 30s", `"1ms"`: "from 1s to 24h0m0s, such as 30s", `"25h"`: "from 1s", `"soon"`: `"soon" is not`} {
		if _, err := Interval(json.RawMessage(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		text          string
		a, b, nothing bool
	}{
		{`null`, true, true, false},
		{`{"action":"Exclude","items":[]}`, true, true, false},
		{`{"action":"Exclude","items":["a"]}`, false, true, false},
		{`{"action":"Include","items":["a"]}`, true, false, false},
		{`{"items":["a","A"]}`, true, false, false},
		{`{"items":[]}`, false, false, true},
	} {
		f, err := ParseFilter(json.RawMessage(tt.text))
		if err != nil || f.Passes("a") != tt.a || f.Passes("b") != tt.b || f.Nothing() != tt.nothing {
			t.Errorf("%s: %v, %+v", tt.text, err, f)
		}
	}
	for text, want := range map[string]string{
		`7`: "want a mapping with some of the keys action and items", `{}`: "items is missing", `{"action":"Hide","items":[]}`: "must be Include or Exclude",
		`{"items":7}`: "items: not a list", `{"item":[]}`: `unknown key "item"`,
		`{"items":["` + strings.Repeat("a", maxItemBytes+1) + `"]}`: "4097 bytes",
		`{"items":["a"` + strings.Repeat(`,"a"`, maxItems) + `]}`:   "1001 entries",
	} {
		if _, err := ParseFilter(json.RawMessage(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
	}
}

func TestHost(t *testing.T) {
	for text, want := range map[string]string{"PLC.Example": "plc.example", "my_plc-1": "my_plc-1", "::ffff:10.0.0.1": "10.0.0.1",
		"2001:DB8::1": "2001:db8::1", "fe80::1%eth0": "fe80::1%eth0"} {
		if got, err := Host(text); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"": "it is empty", "a b": "it has ' '", "ä": "it has 'ä'",
		"fe80::1%eth0:502": "it has ':'", "fe80::1%" + strings.Repeat("a", 16): "its zone has more than 15 bytes", strings.Repeat("a", 254): "more than 253 bytes"} {
		if got, err := Host(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %q, %v, want %s", text, got, err, want)
		}
	}
}
