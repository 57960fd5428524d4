package dnsmsg

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names (RFC 1035, section 2.3.4).
const (
	maxName  = 255 // bytes, as it is sent
	maxLabel = 63  // bytes
)

// Name is a domain name as it is sent, without compression and without the empty
// label at its end: each label has a byte with its length before it. So a dot in
// a label, which names of services may have, is a byte like any other.
type Name string

// MustName makes a name of its labels. It is for names that are known to be
// valid; others are "".
func MustName(labels ...string) Name {
	var b strings.Builder
	for _, l := range labels {
		if l == "" || len(l) > maxLabel {
			return ""
		}
		b.WriteByte(byte(len(l)))
		b.WriteString(l)
	}
	if b.Len() >= maxName {
		return ""
	}
	return Name(b.String())
}

// ParseName reads a name without dots in its labels, such as "_ipp._tcp.local".
func ParseName(text string) (Name, error) {
	n := MustName(strings.Split(text, ".")...)
	if n == "" {
		return "", fmt.Errorf("%.64q is not a domain name", text)
	}
	return n, nil
}

// First returns the first label; "" of the empty name.
func (n Name) First() string {
	if n == "" {
		return ""
	}
	return string(n[1 : 1+n[0]])
}

// Parent returns the name without its first label.
func (n Name) Parent() Name {
	if n == "" {
		return ""
	}
	return n[1+n[0]:]
}

// Child returns the name with a label before it; "" if that is too long.
func (n Name) Child(label string) Name {
	if label == "" || len(label) > maxLabel || 1+len(label)+len(n) >= maxName {
		return ""
	}
	return Name(string(byte(len(label)))+label) + n
}

// Key returns the name as it is compared: upper and lower case of ASCII are the
// same (RFC 6762, section 16). Bytes that are lengths are none of A to Z.
func (n Name) Key() string { return lower(string(n)) }

// lower is strings.ToLower of ASCII alone.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// String returns the name as people write it, without a dot at its end. Dots and
// backslashes in labels have a backslash before them (RFC 6763, section 4.3).
func (n Name) String() string {
	var b strings.Builder
	for ; n != ""; n = n.Parent() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(escape.Replace(n.First()))
	}
	return b.String()
}

var escape = strings.NewReplacer(`.`, `\.`, `\`, `\\`)

// Readable tells whether the labels, of which there is at least one, are text:
// UTF-8 without control characters (RFC 6763, section 4.1.1).
func (n Name) Readable() bool {
	for rest := n; rest != ""; rest = rest.Parent() {
		if l := rest.First(); !utf8.ValidString(l) || strings.ContainsFunc(l, unicode.IsControl) {
			return false
		}
	}
	return n != ""
}

// maxPointers is how many pointers one name may go through. They only go back, so
// that there is an end in any case; this is a bound on the work.
const maxPointers = 32

var (
	errShort = errors.New("it ends too early")
	errName  = errors.New("a name in it is malformed")
)

// readName reads a name at an offset, and returns where it ends.
func readName(msg []byte, at int) (n Name, end int, err error) {
	var buffer [maxName]byte
	name := buffer[:0]
	for pointers := 0; ; {
		if at >= len(msg) {
			return "", 0, errShort
		}
		switch c := int(msg[at]); {
		case c == 0:
			if end == 0 {
				end = at + 1
			}
			return Name(name), end, nil
		case c <= maxLabel:
			if at+1+c > len(msg) {
				return "", 0, errShort
			}
			if len(name)+1+c >= maxName {
				return "", 0, errName
			}
			name = append(name, msg[at:at+1+c]...)
			at += 1 + c
		case c >= 0xc0:
			if at+1 >= len(msg) {
				return "", 0, errShort
			}
			if end == 0 {
				end = at + 2
			}
			to := (c&0x3f)<<8 | int(msg[at+1])
			if pointers++; to >= at || pointers > maxPointers {
				return "", 0, errName
			}
			at = to
		default:
			return "", 0, errName
		}
	}
}
