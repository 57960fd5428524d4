package simulator

import (
	"encoding/xml"
	"testing"
)

// The cases of WS-Discovery 5.1 and of ONVIF Core 7.3.2.
func TestScopeMatches(t *testing.T) {
	for _, tt := range []struct {
		rule, asked, own string
		want             bool
	}{
		{"", "http://example.com/abc", "http://example.com/abc/def", true},
		{"", "http://example.com/a", "http://example.com/abc/def", false},
		{"", "http://example.com/abc/", "http://example.com/abc", true},
		{"", "HTTP://EXAMPLE.com/abc", "http://example.com/abc", true},
		{"", "http://example.com/ABC", "http://example.com/abc", false},
		{"", "http://example.com/a/../abc", "http://example.com/a/../abc", false},
		{"", "http://example.com", "http://example.com/abc", true},
		{"", "http://example.com/abc/def", "http://example.com/abc", false},
		{"", "onvif://www.onvif.org/type", "onvif://www.onvif.org/type/video_encoder", true},
		{"", "onvif://www.onvif.org/name/Camera%2001", "onvif://www.onvif.org/name/Camera%2001", true},
		{"", "urn:x:y", "urn:x:y", true},
		{"", "urn:x", "urn:x:y", false},
		{rule2396, "http://a/b", "http://a/b/c", true},
		{ruleStrcmp0, "http://a/b", "http://a/b/c", false},
		{ruleStrcmp0, "http://a/b", "http://a/b", true},
		{ruleStrcmp0, "http://A/b", "http://a/b", false},
		{ruleUUID, "urn:uuid:ABCDEF00-0000-4000-8000-000000000000", "uuid:abcdef00-0000-4000-8000-000000000000", true},
		{ruleUUID, "http://a", "http://a", false},
		{nsDiscovery + "/ldap", "ldap:///ou=x", "ldap:///ou=x", false},
		{"", "http://a b/", "http://a b/", false},
	} {
		if got := scopeMatches(tt.rule, tt.asked, tt.own); got != tt.want {
			t.Errorf("rule %q, asked %q, own %q: %v", tt.rule, tt.asked, tt.own, got)
		}
	}
}

func TestProbeMatches(t *testing.T) {
	nvt, device := deviceTypes[0], deviceTypes[1]
	own := scopesOf(Identify("x", 1), []string{"urn:mine"})
	for name, tt := range map[string]struct {
		probe
		want bool
	}{
		"everything":     {probe{}, true},
		"cameras":        {probe{types: []xml.Name{nvt}}, true},
		"both types":     {probe{types: []xml.Name{nvt, device}}, true},
		"Windows' hosts": {probe{types: []xml.Name{{Space: "http://schemas.xmlsoap.org/ws/2006/02/devprof", Local: "Device"}}}, false},
		"one of two":     {probe{types: []xml.Name{nvt, {Space: nsNetwork, Local: "Other"}}}, false},
		"no namespace":   {probe{types: []xml.Name{{Local: "NetworkVideoTransmitter"}}}, false},
		"a scope":        {probe{scopes: []string{"onvif://www.onvif.org/location/gate"}}, true},
		"all scopes":     {probe{scopes: []string{"onvif://www.onvif.org/type", "urn:mine"}}, true},
		"a scope more":   {probe{scopes: []string{"onvif://www.onvif.org/type", "urn:yours"}}, false},
	} {
		if got := tt.matches(deviceTypes, own); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A camera is the same in every run, and like no other.
func TestIdentify(t *testing.T) {
	const uuid = "3b3b4a1c-0000-5000-8000-000000000000"
	seen := map[string]bool{}
	for _, seed := range []string{"akri", "other"} {
		for n := 1; n <= MaxCameras; n++ {
			id := Identify(seed, n)
			for _, value := range []string{id.UUID, seed + id.MAC.String(), seed + id.SerialNumber} {
				if seen[value] {
					t.Fatalf("%s is there twice", value)
				}
				seen[value] = true
			}
			if len(id.UUID) != len(uuid) || id.UUID[14] != '5' || id.MAC[0] != 0x02 {
				t.Fatalf("%+v", id)
			}
		}
	}
	if a, b := Identify("akri", 7), Identify("akri", 7); a.UUID != b.UUID || a.MAC.String() != b.MAC.String() {
		t.Errorf("%+v and %+v", a, b)
	}
	if got := Identify("akri", 1).UUID; got != "e7728452-cc74-5357-ab3e-2f1c7d577398" {
		t.Errorf("camera 1 has become %s", got)
	}
}
