package details

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// list writes servers as host:port/units.
func list(d Details) string {
	var all []string
	for _, s := range d.Servers {
		all = append(all, strings.ReplaceAll(fmt.Sprint(s.Address(), s.Units), " ", ","))
	}
	return strings.Join(all, " ")
}

func TestServers(t *testing.T) {
	for text, want := range map[string]string{
		"servers: [10.0.0.5, PLC.example:1502]":                            "10.0.0.5:502[1] plc.example:1502[1]",
		"servers: ['::1', '[::2]:7', '[::3]', '::ffff:10.0.0.1']":          "[::1]:502[1] [::2]:7[1] [::3]:502[1] 10.0.0.1:502[1]",
		"servers: [a]\nunits: [1, 3-5, '7 - 8', 255]":                      "a:502[1,3,4,5,7,8,255]",
		"servers: [a, {address: b, units: [2]}]\nunits: [9]":               "a:502[9] b:502[2]",
		"servers: [{address: a}]":                                          "a:502[1]",
		"servers: [a, A:502, {address: a, units: [3, 1, 3]}]":              "a:502[1,3]",
		"servers: [10.0.1.0/30]":                                           "10.0.1.1:502[1] 10.0.1.2:502[1]",
		"servers: [10.0.1.6/31:7]":                                         "10.0.1.6:7[1] 10.0.1.7:7[1]",
		"servers: [10.0.1.5/32]":                                           "10.0.1.5:502[1]",
		"servers: ['2001:db8::4/127']":                                     "[2001:db8::4]:502[1] [2001:db8::5]:502[1]",
		"servers: [{address: '10.0.1.7/30:1502', units: [2]}]":             "10.0.1.5:1502[2] 10.0.1.6:1502[2]",
		"servers: [169.254.169.252/30]":                                    "169.254.169.253:502[1]", // without the metadata service
		"servers: [169.254.169.254]":                                       "169.254.169.254:502[1]", // which stands there
		`{"servers": ["a"], "units": [1]}`:                                 "a:502[1]",
		"servers: [a]\nunits: [10, 9]\nidentity: ''\ninterval:\ntimeout: ": "a:502[9,10]",
	} {
		d, err := Parse(text)
		if err != nil || list(d) != want {
			t.Errorf("%s: %q, %v, want %q", text, list(d), err, want)
		}
	}
	d, err := Parse("servers: [10.0.1.0/24]")
	if err != nil || len(d.Servers) != 254 || d.Servers[0].Network != "10.0.1.0/24" {
		t.Errorf("%d servers, %v", len(d.Servers), err)
	}
	if d, err = Parse("servers: [10.0.1.0/30, 10.0.1.1]"); err != nil || d.Servers[0].Network != "" || d.Servers[1].Network == "" {
		t.Errorf("%+v, %v: one is named itself too", d.Servers, err)
	}
}

func TestParse(t *testing.T) {
	d, err := Parse("servers: [a]")
	if err != nil || d.Identity != ByAddress || d.Probe != (Probe{3, 0, 1}) || d.Interval != 10*time.Second ||
		d.Timeout != 3*time.Second || d.Gap != 20*time.Millisecond || !d.Vendors.Passes("x") || !d.Models.Passes("") {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = Parse("servers: [a]\nidentity: userApplicationName\nprobe: {function: 1, address: 65535, count: 1}\n" +
		"interval: 1m\ntimeout: 500ms\ngap: 0s\nvendorNames: {items: [V]}\nproductCodes: {action: Exclude, items: [C]}\n" +
		"productNames: {items: [P]}\nmodelNames: {items: [M]}")
	if err != nil || d.Identity != ByApplication || d.Probe != (Probe{1, 65535, 1}) || d.Interval != time.Minute ||
		d.Timeout != 500*time.Millisecond || d.Gap != 0 || d.Vendors.Passes("x") || d.Codes.Passes("C") || !d.Codes.Passes("") ||
		d.Products.Passes("x") || !d.Models.Passes("M") {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = Parse("servers: [a]\nidentity: 0x80\nprobe: {function: 2, count: 2000}"); err != nil || d.Identity != 128 || d.Probe != (Probe{2, 0, 2000}) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"\t":                                    "cannot start any token",
		"7":                                     "not a mapping",
		"":                                      "servers: lists none: name some",
		"servers: []":                           "servers: lists none",
		"servers: a":                            "servers: not a list",
		"servers: [7]":                          "servers[0]: neither a text such as 10.0.0.5, plc.example:502",
		"servers: [a, null]":                    "servers[1]: address: not a text",
		"servers: [{}]":                         "servers[0]: address: not a text such as",
		"servers: [{address: a, unit: 1}]":      `servers[0]: unknown key "unit": the keys are address and units`,
		"servers: [{address: a, units: [300]}]": `servers[0]: units: [0]: "300" is not a unit id`,
		"servers: [{address: 10.0.0.0/33}]":     `servers[0]: address: "10.0.0.0/33": is no network`,
		"servers: ['10.0.0.5:502/1']":           "is no network (unit ids are given in units)",
		"servers: ['']":                         "names no host: it is empty",
		"servers: ['a b']":                      "names no host: it has ' '",
		"servers: ['fe80::1%eth0:502']":         "names no host: it has ':'; give a host, host:port",
		"servers: ['fe80::1%a123456789012345']": "names no host: its zone has more than 15 bytes",
		"servers: ['a:0']":                      "a port that is none",
		"servers: ['a:http']":                   "a port that is none",
		"servers: ['10.0.0.0/30:x']":            "a port that is none",
		"servers: ['a:1:2']":                    "names no host: it has ':'",
		"servers: ['tcp://10.0.0.5:502']":       `"tcp://10.0.0.5:502": is a URL; give a host, host:port or network`,
		"servers: [0.0.0.0]":                    "is no host's address",
		"servers: [224.0.0.1]":                  "is no host's address",
		"servers: [255.255.255.255]":            "is no host's address",
		"servers: [224.0.0.0/30]":               "has no address that a device can have",
		"servers: [10.0.0.0/23]":                "has 2^9 addresses, at most 256 are allowed: name a smaller network, such as 10.0.0.0/28",
		"servers: ['::/0']":                     "has 2^128 addresses",
		"servers: [10.0.0.0/24, 10.0.1.0/28]":   "servers[1]: with it there are 268 servers, at most 256 are allowed",
		"servers: [10.0.0.0/24]\nunits: [0-9]":  "servers: have 2540 units in all, at most 2048 are allowed",
		"servers: [" + strings.Repeat("a,", MaxServers) + "a]":      "servers: has 257 entries",
		"servers: [a]\nunits: []":                                   "units: lists none",
		"servers: [a]\nunits: 1":                                    "units: not a list",
		"servers: [a]\nunits: [-1]":                                 `units: [0]: "-1" is not a unit id from 0 to 255, or a range`,
		"servers: [a]\nunits: [1, 5-3]":                             `units: [1]: "5-3"`,
		"servers: [a]\nunits: [1.5]":                                `"1.5" is not`,
		"servers: [a]\nunits: [" + strings.Repeat("1,", 256) + "1]": "has 257 entries",
		"servers: [a]\nunitIds: [1]":                                "unitIds: unknown key: the keys are servers, units, probe",
		"servers: [a]\nprobe: {function: 6}":                        "probe: function: must be 1 (coils)",
		"servers: [a]\nprobe: {function: 259}":                      "probe: function: must be",
		"servers: [a]\nprobe: {count: 126}":                         "probe: count: must be from 1 to 125 for function 3",
		"servers: [a]\nprobe: {count: 0}":                           "probe: count: must be from 1",
		"servers: [a]\nprobe: {address: 65536}":                     "probe: address: not a number from 0 to 65535",
		"servers: [a]\nprobe: {address: 65535, count: 2}":           "are beyond 65535",
		"servers: [a]\nprobe: {register: 1}":                        `probe: unknown key "register"`,
		"servers: [a]\nprobe: 3":                                    "probe: want a mapping",
		"servers: [a]\nidentity: serial":                            "identity: must be address, userApplicationName, or the number of a private object from 128 to 255",
		"servers: [a]\nidentity: 5":                                 "identity: must be",
		"servers: [a]\nidentity: 256":                               "identity: must be",
		"servers: [a]\ninterval: 1ms":                               "interval: ",
		"servers: [a]\ntimeout: 1m":                                 `timeout: "1m" is not a duration from 50ms to 10s, such as 3s`,
		"servers: [a]\ngap: 1h":                                     "gap: ",
		"servers: [a]\nvendorNames: {item: []}":                     `vendorNames: unknown key "item"`,
		"servers: [a]\nproductCodes: 7":                             "productCodes: want a mapping",
		"servers: [a]\nproductNames: {}":                            "productNames: items is missing",
		"servers: [a]\nmodelNames: {action: Hide, items: []}":       "modelNames: action: must be Include or Exclude",
	} {
		if d, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %.80v, %v, want %s", text, d.Servers, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"servers: [a]":                                       "",
		"servers: [localhost:1502]":                          "localhost:1502: for the handler in a cluster localhost is its own Pod",
		"servers: [a]\nunits: [250]":                         "248 to 254 are reserved",
		"servers: [a]\nunits: [0, 1-247, 255]":               "",
		"servers: [a]\nvendorNames: {items: []}":             "vendorNames: includes nothing",
		"servers: [a]\nmodelNames: {items: []}":              "modelNames: includes nothing",
		"servers: [a]\nprobe: {address: 40108}":              "If you mean register 40108 of a manual, it is function 3, address 107",
		"servers: [a]\nprobe: {address: 30001}":              "",
		"servers: [a]\nprobe: {function: 4, address: 30001}": "function 4, address 0",
		"servers: [a]\nprobe: {function: 1, address: 10001}": "",
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

func FuzzParse(f *testing.F) {
	f.Add("servers: [a, 'b:1', 10.0.0.0/30, {address: '[::1]:7', units: [1-3]}]\nunits: [1, '4-9']\nprobe: {function: 1, count: 9}\nidentity: 128")
	f.Add("servers: ['fe80::1%eth0']\nvendorNames: {action: Exclude, items: [x]}\ninterval: 1m\ntimeout: 1s\ngap: 0s")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if len(d.Servers) == 0 || len(d.Servers) > MaxServers {
			t.Fatalf("%d servers", len(d.Servers))
		}
		total := 0
		for _, s := range d.Servers {
			total += len(s.Units)
			if len(s.Units) == 0 || !slices.IsSorted(s.Units) || s.Port == 0 {
				t.Errorf("%+v", s)
			}
			again, err := parseAddress(s.Address(), s.Units)
			if err != nil || len(again) != 1 || again[0].Address() != s.Address() {
				t.Errorf("%s: %+v, %v", s.Address(), again, err)
			}
		}
		if total > MaxUnits {
			t.Errorf("%d units", total)
		}
		if _, err := Check(text); err != nil {
			t.Error(err)
		}
	})
}
