package details

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"broker: mqtt://b\nhomie: {}": "mqtt://b:1883 [homie]  [] 2m0s false",
		"broker: mqtt://b\nhomie:":    "mqtt://b:1883 [homie]  [] 2m0s false",
		"broker: MQTTS://B.example/\nhomie: {domains: [x/y, a, a]}\nbrokerGracePeriod: 1h":     "mqtts://b.example:8883 [a x/y]  [] 1h0m0s false",
		"broker: ssl://[::1]:1\nhomeAssistant: {prefix: ha}\ninsecureSkipTLSVerify: true":      "mqtts://[::1]:1 [] ha [] 2m0s true",
		"broker: tcp://10.0.0.1\nhomeAssistant:\nhomie: {}":                                    "mqtt://10.0.0.1:1883 [homie] homeassistant [] 2m0s false",
		"broker: mqtt://b\ntopics: [{pattern: a/+/b}, {pattern: +/#, lostAfter: 5s}]":          "mqtt://b:1883 []  [a/+/b 10m0s +/# 5s] 2m0s false",
		"broker: mqtt://b\ntopics: [{pattern: a/+, lostAfter: ''}]\nbrokerGracePeriod: ''":     "mqtt://b:1883 []  [a/+ 10m0s] 2m0s false",
		"broker: mqtt://b\nhomie: {}\nids: {items: [a]}\nmodels: {action: Exclude, items: []}": "mqtt://b:1883 [homie]  [] 2m0s false",
	} {
		d, err := Parse(text)
		var patterns []string
		for _, p := range d.Patterns {
			patterns = append(patterns, p.Filter+" "+p.LostAfter.String())
		}
		if got := fmt.Sprintf("%s %s %s %s %s %v", d.Broker, d.Domains, d.Prefix, patterns, d.Grace, d.SkipTLSVerify); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	const b = "broker: mqtt://b\n"
	for text, want := range map[string]string{
		"":                                "broker: is missing",
		"homie: {}":                       "broker: is missing",
		b:                                 "says nothing to look for",
		b + "topics: []":                  "says nothing to look for",
		"- a":                             "not a mapping",
		b + "homie: {}\nhomie: {}":        "already set",
		b + "homies: {}":                  "homies: unknown key: the keys are broker, homie,",
		b + "homie: true":                 "homie: want a mapping with the key domains; write {} for the defaults",
		b + "homie: {domain: x}":          `homie: unknown key "domain"`,
		b + "homie: {domains: x}":         "homie: domains: not a list of texts",
		b + "homie: {domains: []}":        "homie: domains: lists none",
		b + "homie: {domains: [a/+]}":     "homie: domains[0]: \"a/+\": give a topic without + and #",
		b + "homeAssistant: {prefix: /a}": "homeAssistant: prefix: \"/a\": give a topic without",
		b + "homeAssistant: {prefix: ''}": "homeAssistant: prefix: is empty",
		b + "topics: a":                   "topics: not a list of entries",
		b + "topics: [a]":                 "topics: [0]: want a mapping",
		b + "topics: [{lostAfter: 1m}]":   "topics: [0]: pattern: is missing",
		b + "topics: [{pattern: a/b}]":    `has no +, which stands for the device`,
		b + "topics: [{pattern: '#'}]":    `has no +`,
		b + "topics: [{pattern: a/+/+}]":  `has more than one +`,
		b + "topics: [{pattern: a/+b}]":   "+ must be a whole level",
		b + "topics: [{pattern: '#/+'}]":  "# the last one",
		b + "topics: [{pattern: a/+, lostAfter: 1}]":                           "topics: [0]: lostAfter: not a duration",
		b + "topics: [{pattern: a/+, lostAfter: 1ms}]":                         "is not a duration from 1s",
		b + "topics: [{pattern: a/+}, {pattern: a/+}]":                         `topics: [1]: pattern: "a/+" is there already`,
		b + "topics: [" + strings.Repeat("{pattern: a},", MaxPatterns) + "{}]": "has 65 entries, at most 64",
		b + "topics: [{pattern: +/" + strings.Repeat("x", 512) + "}]":          "514 bytes, at most 512",
		b + "ids: {items: x}":                                                  "ids: items: not a list",
		b + "names: {action: include, items: []}":                              "names: action: must be Include or Exclude",
		b + "homie: {}\nbrokerGracePeriod: soon":                               "brokerGracePeriod: \"soon\" is not a duration",
		b + "homie: {}\ninsecureSkipTLSVerify: maybe":                          "insecureSkipTLSVerify: want true or false",
		b + "homie: {}\ninsecureSkipTLSVerify: true":                           "insecureSkipTLSVerify: mqtt://b:1883 has no TLS",
		"broker: [a]":                                "broker: not a URL such as",
		"broker: b":                                  `broker: "b": does not begin with mqtt:// or mqtts://`,
		"broker: ws://b/mqtt":                        "MQTT over WebSocket is not spoken",
		"broker: mqtt://u:hunter2@b":                 `broker: "…@b": has a user, which everybody could read`,
		"broker: mqtt://":                            "names no host",
		"broker: mqtt://b/c":                         "has a path",
		"broker: mqtt://b:0":                         "a port that is none",
		"broker: mqtt://b:x":                         "is no URL",
		"broker: mqtt://a b":                         "has white space",
		"broker: mqtt://b_*":                         `has a host that is none: it has '*'`,
		"broker: mqtt://" + strings.Repeat("x", 300): "more than 253 bytes",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"broker: mqtt://b\nhomie: {}":                                    "",
		"broker: mqtt://localhost\nhomie: {}":                            "its own Pod",
		"broker: mqtt://127.0.0.1\nhomie: {}":                            "its own Pod",
		"broker: mqtts://b\nhomie: {}\ninsecureSkipTLSVerify: true":      "insecureSkipTLSVerify: whoever",
		"broker: mqtt://b\nhomie: {}\nmodels: {items: []}":               "models: includes nothing",
		"broker: mqtt://b\nhomie: {}\nids: {action: Exclude, items: []}": "",
	} {
		got, err := Check(text)
		if err != nil || (len(got) > 0) != (want != "") || want != "" && !strings.Contains(got[0], want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := Check("broker: x"); err == nil {
		t.Error("no error")
	}
}

func TestPattern(t *testing.T) {
	for text, want := range map[string]string{
		"a/+/b a/x/b":     "x a/x/b",
		"a/+/b a/x/c":     "",
		"a/+/b a/x":       "",
		"a/+/b a/x/b/c":   "",
		"a/+/b a//b":      "",
		"a/+ a/x":         "x a/x",
		"a/+ a":           "",
		"+ x":             "x x",
		"+ $SYS":          "",
		"+/a $SYS/a":      "",
		"$SYS/+ $SYS/a":   "a $SYS/a",
		"+/a x/a":         "x x/a",
		"/+ /x":           "x /x",
		"a/+/# a/x":       "x a/x/#",
		"a/+/# a/x/b/c":   "x a/x/#",
		"a/+/# b/x/b/c":   "",
		"a/+/b/# a/x/b":   "x a/x/b/#",
		"a/+/b/# a/x/c":   "",
		"a/+/b/# a/x/b/c": "x a/x/b/#",
	} {
		filter, topic, _ := strings.Cut(text, " ")
		p, err := NewPattern(filter)
		if err != nil {
			t.Fatal(err)
		}
		device, ok := p.Match(topic)
		got := ""
		if ok {
			got = device + " " + p.Topic(device)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("broker: mqtts://b.example:1\nhomie: {domains: [a]}\nhomeAssistant: {prefix: b}\ntopics: [{pattern: a/+/#, lostAfter: 1m}]", "a/x/b")
	f.Fuzz(func(t *testing.T, text, topic string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if d.Grace < minGrace || d.Grace > maxGrace {
			t.Errorf("%+v", d)
		}
		if again, err := ParseURL(d.Broker.String()); err != nil || again != d.Broker {
			t.Errorf("%s: %+v, %v", d.Broker, again, err)
		}
		for _, p := range d.Patterns {
			if p.LostAfter < time.Second {
				t.Errorf("%+v", p)
			}
			if device, ok := p.Match(topic); ok && !slices.Contains(strings.Split(topic, "/"), device) {
				t.Errorf("%s of %s by %s", device, topic, p.Filter)
			}
		}
		if _, err := Check(text); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}
