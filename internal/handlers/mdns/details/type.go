package details

import (
	"errors"
	"strings"
)

// The domain of all names that devices announce (RFC 6762, section 3).
const Domain = "local"

var errType = errors.New("is no service type: want one such as _ipp._tcp or _osc._udp, " +
	"or with a subtype _universal._sub._ipp._tcp")

// parseType reads a service type (RFC 6763, section 7). The domain may stand
// after it.
func parseType(s string) (string, error) {
	t := strings.ToLower(strings.TrimSuffix(s, "."))
	t = strings.TrimSuffix(t, "."+Domain)
	labels := strings.Split(t, ".")
	switch n := len(labels); {
	case t == "_services._dns-sd._udp":
		return "", errors.New("lists service types, not devices: look at them with avahi-browse --all, and name one")
	case n == 4 && labels[1] == "_sub" && validLabel(labels[0]):
		labels = labels[2:]
	case n != 2:
		return "", errType
	}
	if !strings.HasPrefix(labels[0], "_") || !validLabel(labels[0]) || labels[1] != "_tcp" && labels[1] != "_udp" {
		return "", errType
	}
	return t, nil
}

// validLabel tells whether a label of a service type has characters that such
// labels have.
func validLabel(l string) bool {
	return len(l) > 1 && len(l) <= maxTypeBytes && strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Base returns a service type without its subtype.
func Base(t string) string {
	if _, base, ok := strings.Cut(t, "._sub."); ok {
		return base
	}
	return t
}

// serviceOf returns the name of a service type without its underscore: ipp of
// _ipp._tcp.
func serviceOf(t string) string {
	name, _, _ := strings.Cut(Base(t), ".")
	return strings.TrimPrefix(name, "_")
}

// checkKey tells whether a text can be the key of a TXT record (RFC 6763,
// section 6.4).
func checkKey(key string) error {
	switch {
	case key == "" || len(key) > maxKeyBytes:
		return errors.New("a key of a TXT record has 1 to 64 characters")
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' || r == '=' }):
		return errors.New("a key of a TXT record has printable ASCII characters, and no =")
	}
	return nil
}
