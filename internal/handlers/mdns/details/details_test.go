package details

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Details
	}{
		{"types: [_ipp._tcp]", Details{Types: []string{"_ipp._tcp"}, Timeout: 2 * time.Second}},
		{"types: [_IPP._tcp.local., _ipp._tcp, _universal._sub._ipp._tcp, _osc._udp.local]\ndiscoveryTimeoutSeconds: 5\nidentityKey: UUID",
			Details{Types: []string{"_ipp._tcp", "_universal._sub._ipp._tcp", "_osc._udp"}, Timeout: 5 * time.Second, IdentityKey: "uuid"}},
		{"types: [_a._udp]\ninterfaces: [eth0, 'wl*']\n", Details{Types: []string{"_a._udp"}, Interfaces: []string{"eth0", "wl*"}, Timeout: 2 * time.Second}},
		{"types: [_a._udp]\ninterfaces: []\n", Details{Types: []string{"_a._udp"}, Interfaces: []string{}, Timeout: 2 * time.Second}},
	} {
		got, err := Parse(tt.text)
		got.Instances, got.Hosts, got.TXTProperties, got.TXT = Filter{}, Filter{}, Filter{}, nil
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.text, got, err)
		}
	}
	d, err := Parse("types: [_a._udp]\nnetworks: [10.1.2.3/8]\ntxt: {Model: {items: [X*]}}\ninstances: {action: Exclude, items: [b]}")
	if err != nil || fmt.Sprint(d.Networks) != "[10.0.0.0/8]" || d.TXT["model"].Action != Include || d.Instances.Action != Exclude {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "types: lists no service type: name some, such as _ipp._tcp",
		"7":                                  "want a mapping with some of the keys types",
		"types: _ipp._tcp":                   "types: want a list of texts",
		"types: [ipp]":                       `types[0]: "ipp" is no service type`,
		"types: [_ipp._sctp]":                "is no service type",
		"types: [_._tcp]":                    "is no service type",
		"types: [_ä._tcp]":                   "is no service type",
		"types: ['_a b._tcp']":               "is no service type",
		"types: [_a._tcp.example.org]":       "is no service type",
		"types: [_services._dns-sd._udp]":    "lists service types, not devices",
		"type: [_ipp._tcp]":                  `unknown field "type": the keys are types`,
		"types: [_a._tcp]\ntypes: [_b._tcp]": "already set",
		"types: [_a._tcp]\ninstances: 7":     "instances: want a mapping with action and items",
		"types: [_a._tcp]\ninstances: {items: 7}":                              "instances.items: want a list of texts",
		"types: [_a._tcp]\ninstances: {action: Hide}":                          `instances: action: "Hide", want Include or Exclude`,
		"types: [_a._tcp]\ntxt: [a]":                                           "txt: want a mapping of keys to filters",
		"types: [_a._tcp]\ntxt: {'a=b': {items: [c]}}":                         "txt: \"a=b\": a key of a TXT record has printable",
		"types: [_a._tcp]\ntxt: {a: {}, A: {}}":                                "is there twice",
		"types: [_a._tcp]\nidentityKey: ä":                                     "identityKey: a key of a TXT record has printable",
		"types: [_a._tcp]\nidentityKey: [a]":                                   "identityKey: want a text",
		"types: [_a._tcp]\ndiscoveryTimeoutSeconds: 0":                         "discoveryTimeoutSeconds: 0, want 1 to 60",
		"types: [_a._tcp]\ndiscoveryTimeoutSeconds: soon":                      "discoveryTimeoutSeconds: want a whole number",
		"types: [_a._tcp]\ninterfaces: ['[']":                                  "interfaces[0]: \"[\" is neither",
		"types: [_a._tcp]\nnetworks: [10.0.0.1]":                               "networks[0]: \"10.0.0.1\" is not a network of devices",
		"types: [_a._tcp]\nhosts: {items: [\"a\\u0007\"]}":                     "hosts: items[0]: has a control character",
		"types: [" + strings.Repeat("_a._tcp,", 16) + "_b]":                    "types: 17, at most 16",
		"#" + strings.Repeat("x", maxLength):                                   "at most 262144 are allowed",
		"types: [_" + strings.Repeat("a", 63) + "._tcp]":                       "is no service type",
		"types: [_a._tcp]\nhosts: {items: [" + strings.Repeat("a", 257) + "]}": "hosts: items[0]: 257 bytes",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"types: [_ipp._tcp]":                              "",
		"types: [_ipp._tcp]\ninstances: {items: []}":      "instances: Include without items leaves no device",
		"types: [_ipp._tcp]\ntxt: {a: {action: Include}}": "txt: a: Include without items",
		"types: [_ipp._tcp]\nhosts: {items: [a.example]}": "hosts.items[0]: \"a.example\" matches no host",
		"types: [_ipp._tcp]\nhosts: {items: [a.local]}":   "",
		"types: [_averylongservicename._tcp]":             "averylongservicename has more than 15 characters",
		"types: [_ipp._tcp]\ninterfaces: []":              "interfaces: none",
	} {
		warnings, err := Check(text)
		if got := strings.Join(warnings, "\n"); err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"A", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"*", "", true},
		{"a*c*e", "abcde", true}, {"a*c*e", "abde", false}, {"*b*", "abc", true}, {"ab*ba", "aba", false}, {"", "", true}, {"", "a", false},
		{"**", "x", true}, {"x[1]", "x[1]", true}, {strings.Repeat("*a", 100), strings.Repeat("a", 300), true},
	} {
		f := Filter{Include, []string{tt.pattern}}
		if f.Pass(tt.text) != tt.want || (Filter{Exclude, []string{tt.pattern}}).Pass(tt.text) == tt.want {
			t.Errorf("%q, %q: want %v", tt.pattern, tt.text, tt.want)
		}
	}
	if !(Filter{}).Pass("a") || !(Filter{}).PassMissing() || (Filter{Action: Include}).PassMissing() {
		t.Error("the zero filter does not take all")
	}
	hosts := Filter{Include, []string{"Printer", "cam*.local"}}
	for host, want := range map[string]bool{"printer.local": true, "CAM7.local": true, "other.local": false} {
		if hosts.PassHost(host) != want {
			t.Errorf("%s: want %v", host, want)
		}
	}
}

func TestTXTProperty(t *testing.T) {
	for key, want := range map[string]string{
		"UUID": "MDNS_TXT_UUID", "usb_MFG": "MDNS_TXT_USB_MFG", "c#": "MDNS_TXT_C_", "printer-type": "MDNS_TXT_PRINTER_TYPE",
		"options": "MDNS_TXT_OPTIONS_", "http_proxy": "MDNS_TXT_HTTP_PROXY_", "7": "MDNS_TXT_7",
	} {
		if got := TXTProperty(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("types: [_ipp._tcp, _x._sub._ipp._tcp]\ninstances: {items: ['a*']}\ntxt: {id: {action: Exclude, items: [b]}}\nnetworks: [10.0.0.0/8]")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err == nil && (len(d.Types) == 0 || len(d.Types) > maxTypes || d.Timeout <= 0) {
			t.Errorf("%+v", d)
		}
		_, _ = Check(s)
	})
}
