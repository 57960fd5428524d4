package details

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func urls(d Details) (texts []string) {
	for _, u := range d.URLs {
		texts = append(texts, u.Text())
	}
	return texts
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		urls       []string
		interval   time.Duration
	}{
		{"nothing", "", []string{DefaultURL}, 10 * time.Second},
		{"upstream's", "opcuaDiscoveryMethod:\n  standard:\n    discoveryUrls: [\"opc.tcp://a:1/\", \"opc.tcp://b:2\"]\n" +
			"applicationNames: {action: Exclude, items: []}\n", []string{"opc.tcp://a:1/", "opc.tcp://b:2"}, 10 * time.Second},
		{"upstream's, JSON", `{"opcuaDiscoveryMethod": {"standard": {"discoveryUrls": ["opc.tcp://a:1"]}}}`,
			[]string{"opc.tcp://a:1"}, 10 * time.Second},
		{"upstream's default", "opcuaDiscoveryMethod: {standard: {}}", []string{DefaultURL}, 10 * time.Second},
		{"flat, without a port, twice", "discoveryUrls: [opc.tcp://a, opc.tcp://A:4840/, opc.tcp://a/x]",
			[]string{"opc.tcp://a:4840", "opc.tcp://a:4840/x"}, 10 * time.Second},
		{"interval", "interval: 1m30s", []string{DefaultURL}, 90 * time.Second},
		{"no interval", "interval: ''", []string{DefaultURL}, 10 * time.Second},
		{"no filter", "applicationNames: null", []string{DefaultURL}, 10 * time.Second},
	} {
		d, err := Parse(tt.text)
		if err != nil || !slices.Equal(urls(d), tt.urls) || d.Interval != tt.interval {
			t.Errorf("%s: %v, %q, %s", tt.name, err, urls(d), d.Interval)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"\t":                               "cannot start any token",
		"7":                                "not a mapping",
		"discoveryurls: []":                "unknown key",
		"discoveryUrls: []":                "lists no URL",
		"discoveryUrls: 7":                 "discoveryUrls: not a list of texts",
		"discoveryUrls: [a]":               `discoveryUrls[0]: "a": does not begin with opc.tcp://, and only such URLs are asked`,
		"opcuaDiscoveryMethod: {}":         "standard is missing",
		"opcuaDiscoveryMethod: 7":          "opcuaDiscoveryMethod: want a mapping",
		"interval: 10":                     "interval: not a duration",
		"interval: 1ms":                    "from 1s to 24h",
		"interval: soon":                   "from 1s to 24h",
		"productUris: {action: Hide}":      "must be Include or Exclude",
		"productUris: {}":                  "items is missing",
		"applicationUris: {items: 7}":      "items: not a list",
		"applicationNames: {item: []}":     `unknown key "item"`,
		"opcuaDiscoveryMethod: {scan: {}}": `unknown key "scan"`,
		"opcuaDiscoveryMethod: {standard: {urls: []}}":                       `standard: unknown key "urls"`,
		"opcuaDiscoveryMethod: {standard: {discoveryUrls: [7]}}":             "standard: discoveryUrls: not a list",
		"opcuaDiscoveryMethod: {standard: {}}\ndiscoveryUrls: [opc.tcp://a]": "choose one place",
		"discoveryUrls: [" + strings.Repeat("opc.tcp://a,", MaxURLs) + "x]":  "65 entries, at most 64",
		"productUris: {items: [" + strings.Repeat("a,", 1000) + "a]}":        "1001 entries",
		"productUris: {items: [" + strings.Repeat("a", 4097) + "]}":          "4097 bytes",
		"discoveryUrls: [opc.tcp://a]\ndiscoveryUrls: [opc.tcp://b]":         "already set",
		"#" + strings.Repeat("x", 256<<10):                                   "longer than",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		text          string
		a, b, nothing bool
	}{
		{"", true, true, false},
		{"applicationNames: {action: Exclude, items: []}", true, true, false},
		{"applicationNames: {action: Exclude, items: [a]}", false, true, false},
		{"applicationNames: {action: Include, items: [a]}", true, false, false},
		{"applicationNames: {items: [a, A]}", true, false, false},
		{"applicationNames: {action: Include, items: []}", false, false, true},
	} {
		d, err := Parse(tt.text)
		if err != nil || d.Names.Passes("a") != tt.a || d.Names.Passes("b") != tt.b || d.Names.Nothing() != tt.nothing {
			t.Errorf("%s: %v, %+v", tt.text, err, d.Names)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"discoveryUrls: [opc.tcp://a]": "",
		"":                             "localhost is its own Pod",
		"discoveryUrls: [opc.tcp://a]\nproductUris: {items: []}": "productUris: includes nothing",
	} {
		warnings, err := Check(text)
		if got := strings.Join(warnings, "\n"); err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if _, err := Check("x: y"); err == nil {
		t.Error("no error")
	}
}

func TestParseURL(t *testing.T) {
	for _, tt := range []struct{ text, want, key, address string }{
		{"opc.tcp://a:1/x", "opc.tcp://a:1/x", "opc.tcp://a:1/x", "a:1"},
		{"opc.tcp://PLC.Example", "opc.tcp://plc.example:4840", "opc.tcp://plc.example:4840", "plc.example:4840"},
		{"opc.tcp://PLC:4840/", "opc.tcp://PLC:4840/", "opc.tcp://plc:4840", "plc:4840"},
		{"opc.tcp://a/b?c#d", "opc.tcp://a:4840/b?c#d", "opc.tcp://a:4840/b?c#d", "a:4840"},
		{"opc.tcp://[::1]:7/", "opc.tcp://[::1]:7/", "opc.tcp://[::1]:7", "[::1]:7"},
		{"opc.tcp://[::ffff:10.0.0.1]", "opc.tcp://10.0.0.1:4840", "opc.tcp://10.0.0.1:4840", "10.0.0.1:4840"},
		{"opc.tcp://my_plc:4840", "opc.tcp://my_plc:4840", "opc.tcp://my_plc:4840", "my_plc:4840"},
	} {
		u, err := ParseURL(tt.text)
		if err != nil || u.Text() != tt.want || u.Key() != tt.key || u.Address() != tt.address {
			t.Errorf("%s: %s, %s, %s, %v", tt.text, u.Text(), u.Key(), u.Address(), err)
		}
	}
	u, _ := ParseURL("opc.tcp://A:7/x")
	if at := u.At("10.0.0.1"); at.Text() != "opc.tcp://10.0.0.1:7/x" || at.Host != "10.0.0.1" {
		t.Errorf("%+v", at)
	}
	for text, want := range map[string]string{
		"": "does not begin with opc.tcp://", "http://a": "does not begin with opc.tcp://", "opc.tcp:a": "names no host", "opc.tcp://": "names no host",
		"opc.tcp://:4840": "names no host", "opc.tcp://a:0": "a port that is none", "opc.tcp://a:70000": "a port that is none",
		"opc.tcp://a:b": "is no URL", "opc.tcp://u:p@a": "has a user", "opc.tcp://a b": "white space", "opc.tcp://a\x00": "white space",
		"opc.tcp://a%20b": "is no URL", "opc.tcp://ä": "has a host that is none", "opc.tcp://" + strings.Repeat("a", 254): "253 bytes",
		"opc.tcp://a/" + strings.Repeat("a", maxURLBytes): "bytes, at most 700",
	} {
		if u, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %+v, %v, want %s", text, u, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("opcuaDiscoveryMethod: {standard: {discoveryUrls: [opc.tcp://a:1/]}}\napplicationNames: {items: [x]}\ninterval: 1m")
	f.Add("discoveryUrls: ['opc.tcp://[fe80::1%25eth0]:4840/a?b']")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		for _, u := range d.URLs {
			again, err := ParseURL(u.Text())
			if err != nil || again.Key() != u.Key() || len(u.Text()) > maxURLBytes+len(":4840") {
				t.Errorf("%q: %q, %v", u.Text(), again.Key(), err)
			}
		}
	})
}

// Servers send URLs of others.
func FuzzParseURL(f *testing.F) {
	f.Add("opc.tcp://PLC.Example:4840/UA/Server?x#y", "10.0.0.1")
	f.Add("opc.tcp://[fe80::1%25eth0]", "::1")
	f.Fuzz(func(t *testing.T, text, host string) {
		u, err := ParseURL(text)
		if err != nil {
			return
		}
		all := []URL{u}
		if ip, err := netip.ParseAddr(host); err == nil {
			all = append(all, u.At(ip.String()))
		}
		for _, u := range all {
			again, err := ParseURL(u.Text())
			if len(u.Text()) <= maxURLBytes && (err != nil || again.Key() != u.Key() || again.Address() != u.Address()) {
				t.Errorf("%q: %q, then %q, %v", text, u.Text(), again.Text(), err)
			}
		}
	})
}
