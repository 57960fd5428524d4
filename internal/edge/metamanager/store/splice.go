package store

import (
	"bytes"
	"strconv"
)

// WithRV returns an object's JSON, which must be valid, with another
// metadata.resourceVersion. The rest stays as it is, byte for byte.
func WithRV(object []byte, rv string) []byte {
	value := strconv.Quote(rv)
	from, to, ok := member(object, 0, "metadata")
	if !ok || object[from] != '{' {
		return object
	}
	if start, end, ok := member(object, from, "resourceVersion"); ok && end <= to {
		return splice(object, start, end, value)
	}
	field := `"resourceVersion":` + value
	if rest := bytes.TrimLeft(object[from+1:to], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		field += ","
	}
	return splice(object, from+1, from+1, field)
}

func splice(b []byte, from, to int, s string) []byte {
	out := make([]byte, 0, len(b)-(to-from)+len(s))
	out = append(out, b[:from]...)
	out = append(out, s...)
	return append(out, b[to:]...)
}

// member finds the value of a member of the object that begins at or after
// offset at, as b[from:to]. b must be valid JSON.
func member(b []byte, at int, name string) (from, to int, ok bool) {
	i := space(b, at)
	if i >= len(b) || b[i] != '{' {
		return 0, 0, false
	}
	for i = space(b, i+1); i < len(b) && b[i] == '"'; i = space(b, i+1) {
		end := value(b, i)
		key := b[i+1 : end-1]
		from = space(b, space(b, end)+1) // behind the colon
		to = value(b, from)
		if string(key) == name {
			return from, to, to <= len(b)
		}
		if i = space(b, to); i >= len(b) || b[i] != ',' {
			break
		}
	}
	return 0, 0, false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// value returns the end of the JSON value that begins at i.
func value(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(b))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}
