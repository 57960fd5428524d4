package details

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	none := Filter{Action: Exclude}
	plain := Details{IPAddresses: none, MACAddresses: none, Scopes: none, UUIDs: none, Timeout: time.Second, Interval: DefaultInterval}
	with := func(change func(*Details)) Details {
		d := plain
		change(&d)
		return d
	}
	for text, want := range map[string]Details{
		"":   plain,
		"{}": plain,
		// As upstream's chart writes it.
		"ipAddresses:\n  action: Exclude\n  items: []\nmacAddresses:\n  action: Exclude\n  items: []\n" +
			"scopes:\n  action: Exclude\n  items: []\nuuids:\n  action: Exclude\n  items: []\ndiscoveryTimeoutSeconds: 2\n": with(func(d *Details) {
			none := Filter{Action: Exclude, Items: []string{}}
			d.IPAddresses, d.MACAddresses, d.Scopes, d.UUIDs, d.Timeout = none, none, none, none, 2*time.Second
		}),
		"ipAddresses: null": plain,
		`{"uuids": {"items": ["a"]}}`: with(func(d *Details) {
			d.UUIDs = Filter{Action: Include, Items: []string{"a"}}
		}),
		"interval: 1m\ninterfaces: [eth*]\naddresses: [10.1.2.3, '2001:db8::1']\nnetworks: [10.20.0.7/24]\ninsecureSkipTLSVerify: true": with(func(d *Details) {
			d.Interval, d.Interfaces, d.SkipTLSVerify = time.Minute, []string{"eth*"}, true
			d.Addresses = []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::1")}
			d.Networks = []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")}
		}),
		"interfaces: []": with(func(d *Details) { d.Interfaces = []string{} }),
	} {
		if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v\ngot  %+v\nwant %+v", text, err, got, want)
		}
	}
	for text, want := range map[string]string{
		"- a":                                               "want a mapping with some of the keys ipAddresses, ",
		"uuids: 7":                                          "uuids: want a mapping with action and items",
		"uuids: {items: a}":                                 "uuids.items: want a list of texts",
		"insecureSkipTLSVerify: maybe":                      "insecureSkipTLSVerify: want true or false",
		"ipaddresses2: {}":                                  "unknown field \"ipaddresses2\": the keys are ipAddresses, ",
		"scopes: {}\nscopes: {}":                            "already set",
		"uuids: {action: include}":                          `uuids: action: "include", want Include or Exclude`,
		"scopes: {items: ['']}":                             "scopes: items[0]: is empty",
		"scopes: {items: [\"a\\nb\"]}":                      "control character",
		"discoveryTimeoutSeconds: -1":                       "discoveryTimeoutSeconds: -1, want 1 to 60",
		"discoveryTimeoutSeconds: 0":                        "want 1 to 60",
		"discoveryTimeoutSeconds: 4294967":                  "want 1 to 60",
		"discoveryTimeoutSeconds: 1.5":                      "discoveryTimeoutSeconds: want a whole number",
		"interval: 10":                                      `interval: "10", want a time`,
		"interval: 10ms":                                    "interval: \"10ms\", want a time from 1s to 1h",
		"interval: soon":                                    "interval:",
		"interfaces: ['[']":                                 "interfaces[0]",
		"interfaces: [../x]":                                "interfaces[0]",
		"addresses: [camera.example]":                       `addresses[0]: "camera.example" is not an IP address`,
		"addresses: [239.255.255.250]":                      "addresses[0]",
		"addresses: [0.0.0.0]":                              "addresses[0]",
		"addresses: ['fe80::1%eth0']":                       "addresses[0]",
		"networks: [10.0.0.0/8]":                            "networks[0]: 10.0.0.0/8 has too many addresses",
		"networks: ['2001:db8::/64']":                       "too many addresses",
		"networks: [10.0.0.1]":                              "networks[0]",
		"networks: [224.0.0.0/24]":                          "networks[0]",
		"networks: [10.0.0.0/21, 10.1.0.0/21, 10.2.0.0/32]": "4097 addresses to probe",
		strings.Repeat("#", maxLength+1):                    "at most",
		"uuids: {items: [" + strings.Repeat("a,", maxItems) + "a]}": "1025 items",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil,
		"ipAddresses: {items: [10.0.0.1, 10.0.0.0/24, 'fe80::1']}":                     nil,
		"macAddresses: {items: ['00-12-41-5C-A1-A5', 0012.415c.a1a5, '0012415ca1a5']}": nil,
		"uuids: {items: []}":                      {"uuids: Include without items leaves no camera"},
		"ipAddresses: {items: [10.0.0]}":          {`ipAddresses.items[0]: "10.0.0" matches no camera`},
		"macAddresses: {items: [nonsense]}":       {`macAddresses.items[0]: "nonsense"`},
		"scopes: {items: [video_encoder]}":        {`scopes.items[0]`},
		"interfaces: []":                          {"interfaces: none"},
		"interfaces: []\nnetworks: [10.0.0.0/28]": nil,
		"insecureSkipTLSVerify: true":             {"insecureSkipTLSVerify"},
	} {
		got, err := Check(text)
		if err != nil || len(got) != len(want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%q: %q, want %q", text, got[i], want[i])
			}
		}
	}
}

func TestFilters(t *testing.T) {
	in := func(items ...string) Filter { return Filter{Include, items} }
	ex := func(items ...string) Filter { return Filter{Exclude, items} }
	addr := netip.MustParseAddr
	for i, c := range []struct {
		got, want bool
	}{
		{Filter{}.PassAddresses(nil), true},
		{ex().PassAddresses(nil), true},
		{in().PassAddresses([]netip.Addr{addr("10.0.0.1")}), false},
		{in("10.0.0.1").PassAddresses(nil), false}, // not known
		{ex("10.0.0.1").PassAddresses(nil), false}, // not known either
		{in("10.0.0.1").PassAddresses([]netip.Addr{addr("10.0.0.2"), addr("10.0.0.1")}), true},
		{ex("10.0.0.1").PassAddresses([]netip.Addr{addr("10.0.0.2"), addr("10.0.0.1")}), false},
		{in("10.0.0.0/24").PassAddresses([]netip.Addr{addr("::ffff:10.0.0.9")}), true},
		{in("FE80::1").PassAddresses([]netip.Addr{addr("fe80::1%eth0")}), true},
		{in("nonsense").PassAddresses([]netip.Addr{addr("10.0.0.9")}), false},
		{in("00-12-41-5C-A1-A5").PassMACs([]string{"00:12:41:5c:a1:a5"}), true},
		{ex("0012415ca1a5").PassMACs([]string{"00:12:41:5c:a1:a5"}), false},
		{in("00:12:41:5c:a1:a5").PassMACs(nil), false},
		{in("onvif://x/a").PassScopes([]string{"onvif://x/a", "onvif://x/b"}), true},
		{in("onvif://x").PassScopes([]string{"onvif://x/a"}), false},
		{ex("onvif://x").PassScopes([]string{"onvif://x/a"}), true},
		{in("urn:uuid:AB-1").PassUUID("ab-1"), true},
		{in("uuid:ab-1").PassUUID("ab-1"), true},
		{ex("ab-1").PassUUID("ab-1"), false},
		{ex("ab-1").PassUUID("ab-2"), true},
	} {
		if c.got != c.want {
			t.Errorf("case %d: %v", i, c.got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ipAddresses: {action: Exclude, items: []}\ndiscoveryTimeoutSeconds: 1")
	f.Add("networks: [10.0.0.0/24]\ninterval: 30s\ninterfaces: [eth0]")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if d.Timeout <= 0 || d.Timeout > maxTimeout*time.Second || d.Interval < minInterval || d.Interval > maxInterval {
			t.Errorf("%+v", d)
		}
		if _, err := Check(text); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}
