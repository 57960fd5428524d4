package rule

import (
	"errors"
	"fmt"
	"strings"
)

// pattern is the value of a match: shell patterns or plain strings, one of
// which must match.
type pattern struct {
	alternatives []string
	glob         bool // else plain strings: a backslash is a backslash
	foldCase     bool
}

// Pattern is a shell pattern, or several separated by |, as the value of a
// match is.
type Pattern struct{ p pattern }

// ParsePattern parses what would stand between the quotes of a match.
func ParsePattern(text string) (Pattern, error) {
	p, err := newPattern(text, false)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	return Pattern{p}, nil
}

// Matches tells whether the pattern matches all of s.
func (p Pattern) Matches(s string) bool { return p.p.matches(s) }

// newPattern splits a value at every | and checks the patterns. udevd too
// splits before it looks at brackets and backslashes.
func newPattern(value string, foldCase bool) (pattern, error) {
	if foldCase {
		value = lower(value)
	}
	p := pattern{
		alternatives: strings.Split(value, "|"),
		glob:         strings.ContainsAny(value, "*?["),
		foldCase:     foldCase,
	}
	if p.glob {
		for _, a := range p.alternatives {
			if err := checkGlob(a); err != nil {
				if len(p.alternatives) > 1 && errors.Is(err, errOpenBracket) {
					err = fmt.Errorf("%w (| separates patterns even between brackets)", err)
				}
				return pattern{}, err
			}
		}
	}
	return p, nil
}

func (p *pattern) matches(s string) bool {
	if p.foldCase {
		s = lower(s)
	}
	for _, a := range p.alternatives {
		if a == s && !p.glob || p.glob && globMatch(a, s) {
			return true
		}
	}
	return false
}

// lower turns ASCII letters into lower case, as tolower does in the C locale.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// globMatch matches as fnmatch(3) does without flags in the C locale: * and ?
// match a slash and a leading dot too. The pattern has passed checkGlob.
func globMatch(p, s string) bool {
	// After a mismatch it is enough to let the last * match one byte more.
	star, from := -1, 0
	i, j := 0, 0
	for j < len(s) {
		if i < len(p) {
			if p[i] == '*' {
				star, from = i, j
				i++
				continue
			}
			if n, ok := matchOne(p[i:], s[j]); ok {
				i += n
				j++
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		i, j = star+1, from
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// matchOne matches the first element of the pattern with one byte and returns
// the element's length.
func matchOne(p string, c byte) (n int, ok bool) {
	switch p[0] {
	case '?':
		return 1, true
	case '[':
		n, ok, _ = bracket(p, c)
		return n, ok
	case '\\':
		return 2, p[1] == c
	}
	return 1, p[0] == c
}

var errOpenBracket = errors.New(`[ without ]: write \[ for the character itself`)

// checkGlob refuses patterns with which fnmatch(3) would match something else
// than their author meant.
func checkGlob(p string) error {
	for i := 0; i < len(p); {
		switch p[i] {
		case '[':
			n, _, err := bracket(p[i:], 0)
			if err != nil {
				return err
			}
			i += n
		case '\\':
			if i+1 == len(p) {
				return errors.New(`a backslash at the end of a pattern escapes nothing: write \\`)
			}
			i += 2
		default:
			i++
		}
	}
	return nil
}

// bracket matches the bracket expression with which p begins and returns its
// length.
func bracket(p string, c byte) (n int, ok bool, err error) {
	i := 1
	negate := i < len(p) && (p[i] == '!' || p[i] == '^')
	if negate {
		i++
	}
	for first := true; ; first = false {
		if i >= len(p) {
			return 0, false, errOpenBracket
		}
		if p[i] == ']' && !first {
			return i + 1, ok != negate, nil
		}
		if strings.HasPrefix(p[i:], "[:") {
			end := strings.Index(p[i+2:], ":]")
			if end < 0 {
				return 0, false, errors.New("[: without :]")
			}
			name := p[i+2 : i+2+end]
			in, known := inClass(name, c)
			if !known {
				return 0, false, fmt.Errorf("unknown character class [:%s:]", name)
			}
			ok = ok || in
			i += 2 + end + 2
			continue
		}
		low, next, err := bracketByte(p, i)
		if err != nil {
			return 0, false, err
		}
		high := low
		if next+1 < len(p) && p[next] == '-' && p[next+1] != ']' {
			if high, next, err = bracketByte(p, next+1); err != nil {
				return 0, false, err
			}
			if high < low {
				return 0, false, fmt.Errorf("range %c-%c ends before it begins", low, high)
			}
		}
		ok = ok || low <= c && c <= high
		i = next
	}
}

// bracketByte returns the byte at p[i] of a bracket expression, which may be
// escaped, and the index of what follows.
func bracketByte(p string, i int) (c byte, next int, err error) {
	if strings.HasPrefix(p[i:], "[.") || strings.HasPrefix(p[i:], "[=") {
		return 0, 0, fmt.Errorf("%s is not supported", p[i:i+2])
	}
	if p[i] == '\\' {
		if i++; i == len(p) {
			return 0, 0, errOpenBracket
		}
	}
	if p[i] >= 0x80 {
		return 0, 0, errors.New("only ASCII characters can stand between brackets: separate alternatives by |")
	}
	return p[i], i + 1, nil
}

// inClass tells whether c is in a POSIX character class of the C locale.
func inClass(name string, c byte) (in, known bool) {
	var (
		digit = '0' <= c && c <= '9'
		low   = 'a' <= c && c <= 'z'
		up    = 'A' <= c && c <= 'Z'
		graph = '!' <= c && c <= '~'
	)
	switch name {
	case "alnum":
		return digit || low || up, true
	case "alpha":
		return low || up, true
	case "blank":
		return c == ' ' || c == '\t', true
	case "cntrl":
		return c < ' ' || c == 0x7f, true
	case "digit":
		return digit, true
	case "graph":
		return graph, true
	case "lower":
		return low, true
	case "print":
		return graph || c == ' ', true
	case "punct":
		return graph && !digit && !low && !up, true
	case "space":
		return c == ' ' || '\t' <= c && c <= '\r', true
	case "upper":
		return up, true
	case "xdigit":
		return digit || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F', true
	}
	return false, false
}
