package simulator

import (
	"encoding/xml"
	"net/url"
	"slices"
	"strings"
)

// Matching rules of scopes (WS-Discovery 5.1). LDAP's is not supported, as the
// specification allows.
const (
	rule2396    = nsDiscovery + "/rfc2396"
	ruleUUID    = nsDiscovery + "/uuid"
	ruleStrcmp0 = nsDiscovery + "/strcmp0"
)

// deviceTypes are the types of a camera (ONVIF Core 7.3.2.2).
var deviceTypes = []xml.Name{{Space: nsNetwork, Local: "NetworkVideoTransmitter"}, {Space: nsDevice, Local: "Device"}}

// probe is what a Probe asks for.
type probe struct {
	types   []xml.Name
	scopes  []string
	matchBy string // "" is rule2396
}

// matches says whether a Target Service with these types and scopes is meant:
// it has all types, and each scope that is asked for matches one of its own
// (WS-Discovery 5.1). A rule that is not supported matches nothing.
func (p probe) matches(types []xml.Name, scopes []string) bool {
	for _, t := range p.types {
		if !slices.Contains(types, t) {
			return false
		}
	}
	for _, s := range p.scopes {
		if !slices.ContainsFunc(scopes, func(own string) bool { return scopeMatches(p.matchBy, s, own) }) {
			return false
		}
	}
	return true
}

// scopeMatches says whether an asked scope matches one that a service has.
func scopeMatches(rule, asked, own string) bool {
	switch rule {
	case "", rule2396:
		return prefixOf(asked, own)
	case ruleStrcmp0:
		return asked == own
	case ruleUUID:
		a, okA := uuidOf(asked)
		b, okB := uuidOf(own)
		return okA && okB && a == b
	}
	return false
}

// prefixOf is the rule of RFC 2396: scheme and authority are equal but for case,
// and the segments of the path begin with those that are asked for.
func prefixOf(asked, own string) bool {
	a, errA := url.Parse(asked)
	o, errO := url.Parse(own)
	if errA != nil || errO != nil || !strings.EqualFold(a.Scheme, o.Scheme) ||
		!strings.EqualFold(a.Host, o.Host) || a.User.String() != o.User.String() {
		return false
	}
	if a.Opaque != "" || o.Opaque != "" {
		return a.Opaque == o.Opaque
	}
	want, have := segments(a), segments(o)
	if slices.ContainsFunc(slices.Concat(want, have), func(s string) bool { return s == "." || s == ".." }) {
		return false
	}
	return len(want) <= len(have) && slices.Equal(want, have[:len(want)])
}

// segments are the parts of a path as they are written; a slash at the end
// begins none.
func segments(u *url.URL) []string {
	path := strings.Trim(u.EscapedPath(), "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// uuidOf returns the UUID of "uuid:…" or "urn:uuid:…" in lower case.
func uuidOf(s string) (string, bool) {
	s = strings.ToLower(s)
	return strings.CutPrefix(strings.TrimPrefix(s, "urn:"), "uuid:")
}

// scopesOf are the scopes of a camera (ONVIF Core 7.3.2.3), then further ones.
func scopesOf(id Identity, further []string) []string {
	const base = "onvif://www.onvif.org/"
	return append([]string{
		base + "type/video_encoder",
		base + "type/Network_Video_Transmitter",
		base + "Profile/Streaming",
		base + "hardware/" + url.PathEscape(id.Model),
		base + "name/" + url.PathEscape(id.Name),
		base + "location/" + url.PathEscape(id.Location),
	}, further...)
}
