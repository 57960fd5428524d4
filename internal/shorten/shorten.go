// Package shorten shortens texts to a number of bytes. It never cuts a
// character, and always returns valid UTF-8, because the API server accepts
// nothing else.
package shorten

import (
	"strings"
	"unicode/utf8"
)

const more = "…"

// Text returns s, or its beginning and "…", with at most n bytes in all.
// Invalid UTF-8 becomes U+FFFD.
func Text(s string, n int) string {
	s = valid(s)
	if len(s) <= n {
		return s
	}
	if n < len(more) {
		return ""
	}
	at := n - len(more)
	for at > 0 && !utf8.RuneStart(s[at]) {
		at--
	}
	return s[:at] + more
}

// ToEnd returns s, or "…" and its end, with at most n bytes in all. It is for
// names that differ at the end, such as paths.
func ToEnd(s string, n int) string {
	s = valid(s)
	if len(s) <= n {
		return s
	}
	if n < len(more) {
		return ""
	}
	at := len(s) - n + len(more)
	for at < len(s) && !utf8.RuneStart(s[at]) {
		at++
	}
	return more + s[at:]
}

func valid(s string) string { return strings.ToValidUTF8(s, string(utf8.RuneError)) }
