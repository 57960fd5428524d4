package rule

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const space = " \t\r\n"

// Parse parses one rule. Matches are separated by commas or, as in udevd, white
// space. White space may also be around commas and operators. The error is a
// [*SyntaxError].
func Parse(text string) (*Rule, error) {
	p := parser{text: text}
	if len(text) > MaxRuleBytes {
		return nil, p.errorf(MaxRuleBytes, "the rule is longer than %d bytes", MaxRuleBytes)
	}
	if i := invalidByte(text); i >= 0 {
		return nil, p.errorf(i, "this is not a character of UTF-8 text")
	}
	r := &Rule{text: text}
	p.skipSpace()
	switch {
	case p.done():
		return nil, p.errorf(p.pos, `the rule is empty, which would select every device: write, say, KERNEL=="video*"`)
	case p.peek("#"):
		return nil, p.errorf(p.pos, "the rule is a comment and selects nothing")
	}
	for !p.done() {
		m, err := p.match()
		if err != nil {
			return nil, err
		}
		r.matches = append(r.matches, m)
		end := p.pos
		p.skipSpace()
		comma := p.take(",")
		p.skipSpace()
		if !comma && !p.done() {
			if p.pos == end {
				return nil, p.errorf(end, "a comma must separate this from the match before it")
			}
			if r.noComma == 0 {
				r.noComma = p.column(p.pos)
			}
		}
	}
	r.sorted = slices.Clone(r.matches)
	slices.SortStableFunc(r.sorted, func(a, b match) int { return int(a.field) - int(b.field) })
	return r, nil
}

// invalidByte returns the index of the first byte that is not text, or -1.
func invalidByte(s string) int {
	for i, c := range s {
		if c == 0 {
			return i
		}
		if c == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

type parser struct {
	text string
	pos  int
}

func (p *parser) done() bool         { return p.pos >= len(p.text) }
func (p *parser) rest() string       { return p.text[p.pos:] }
func (p *parser) peek(s string) bool { return strings.HasPrefix(p.rest(), s) }
func (p *parser) column(at int) int  { return utf8.RuneCountInString(p.text[:min(at, len(p.text))]) + 1 }
func (p *parser) here() (s string)   { return excerpt(p.rest()) }
func (p *parser) take(s string) bool {
	if !p.peek(s) {
		return false
	}
	p.pos += len(s)
	return true
}

// skipSpace skips white space and line breaks continued by a backslash.
func (p *parser) skipSpace() {
	for !p.done() {
		switch {
		case strings.IndexByte(space, p.text[p.pos]) >= 0:
			p.pos++
		case p.take("\\\n"), p.take("\\\r\n"):
		default:
			return
		}
	}
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return &SyntaxError{Rule: p.text, Column: p.column(at), Reason: fmt.Sprintf(format, args...)}
}

// excerpt quotes the beginning of s.
func excerpt(s string) string {
	if s == "" {
		return "the end of the rule"
	}
	const most = 12
	for i, n := 0, 0; i < len(s); n++ {
		if n == most {
			return fmt.Sprintf("%q…", s[:i])
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return fmt.Sprintf("%q", s)
}

// match parses FIELD{key} operator "value".
func (p *parser) match() (match, error) {
	start := p.pos
	m := match{column: p.column(start)}
	name := p.name()
	if name == "" {
		return m, p.errorf(start, "expected a field such as KERNEL, found %s", excerpt(p.text[start:]))
	}
	var err error
	hasKey := p.peek("{")
	if hasKey {
		if m.key, err = p.key(); err != nil {
			return m, err
		}
	}
	if m.field, err = p.field(start, name, m.key, hasKey); err != nil {
		return m, err
	}
	p.skipSpace()
	if m.negate, err = p.operator(name); err != nil {
		return m, err
	}
	p.skipSpace()
	at := p.pos
	var fold bool
	if m.value, fold, err = p.value(name); err != nil {
		return m, err
	}
	if m.pattern, err = newPattern(m.value, fold); err != nil {
		return m, p.errorf(at, "in the value of %s: %v", name, err)
	}
	m.keepSpace = m.value == "" || strings.ContainsRune(" \t\n\v\f\r", rune(m.value[len(m.value)-1]))
	return m, nil
}

// name takes the letters of a field's name.
func (p *parser) name() string {
	start := p.pos
	for !p.done() {
		c := p.text[p.pos]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || '0' <= c && c <= '9') {
			break
		}
		p.pos++
	}
	return p.text[start:p.pos]
}

func (p *parser) key() (string, error) {
	start := p.pos + 1
	n := strings.IndexByte(p.text[start:], '}')
	if n < 0 {
		return "", p.errorf(p.pos, "{ without }")
	}
	p.pos = start + n + 1
	return p.text[start : start+n], nil
}

// field finds the field of a name and checks its key.
func (p *parser) field(at int, name, key string, hasKey bool) (Field, error) {
	if why, ok := unsupported(name); ok {
		return 0, p.errorf(at, "unsupported field %s: %s", name, why)
	}
	i := slices.Index(fieldNames[:], name)
	if i < 0 {
		if up := strings.ToUpper(name); slices.Contains(fieldNames[:], up) {
			return 0, p.errorf(at, "fields are written in upper case: %s", up)
		}
		return 0, p.errorf(at, "unknown field %s: the fields are ATTR{…} ATTRS{…} DEVPATH DRIVER DRIVERS ENV{…} KERNEL KERNELS SUBSYSTEM SUBSYSTEMS TAG TAGS", excerpt(name))
	}
	f := Field(i)
	brace := at + len(name)
	switch {
	case !f.hasKey() && hasKey:
		return 0, p.errorf(brace, "%s takes no key in braces", f)
	case !f.hasKey():
		return f, nil
	case !hasKey:
		return 0, p.errorf(brace, "%s needs a key in braces, such as %s", f, map[Field]string{Env: "ENV{ID_BUS}", Attr: "ATTR{size}", Attrs: "ATTRS{idVendor}"}[f])
	case key == "":
		return 0, p.errorf(brace, "the key between the braces is empty")
	case f == Env:
		return f, nil
	}
	// ATTR and ATTRS: the name of a file below the device's folder.
	switch {
	case key[0] == '[':
		return 0, p.errorf(brace, "%s{[subsystem/name]…} is not supported: a rule looks at the device and its ancestors only", f)
	case strings.ContainsAny(key, "$%"):
		return 0, p.errorf(brace, "substitutions ($ and %%) are not supported in %s{…}", f)
	case !validAttr(key):
		return 0, p.errorf(brace, `the key of %s must be a file below the device's folder in /sys; ".." can only stand at its beginning`, f)
	}
	return f, nil
}

// validAttr tells whether an attribute's name is a relative path with ".." only
// at the beginning: after a symbolic link ".." would lead elsewhere than it
// says.
func validAttr(key string) bool {
	up := true
	for e := range strings.SplitSeq(key, "/") {
		switch e {
		case "", ".":
			return false
		case "..":
			if !up {
				return false
			}
		default:
			up = false
		}
	}
	return !up
}

func (p *parser) operator(field string) (negate bool, err error) {
	switch {
	case p.take("=="):
		return false, nil
	case p.take("!="):
		return true, nil
	}
	for _, op := range []string{"=", "+=", "-=", ":="} {
		if p.peek(op) {
			return false, p.errorf(p.pos, "%s%s assigns, and a rule here can only match: write %s== or %s!=", field, op, field, field)
		}
	}
	return false, p.errorf(p.pos, "expected == or != after %s, found %s", field, p.here())
}

// value parses "…", e"…" (with escapes as in C) or i"…" (ignoring case).
func (p *parser) value(field string) (v string, fold bool, err error) {
	start := p.pos
	var escaped bool
	for {
		if !escaped && p.take("e") {
			escaped = true
		} else if !fold && p.take("i") {
			fold = true
		} else {
			break
		}
	}
	open := p.pos
	if !p.take(`"`) {
		return "", false, p.errorf(start, `expected a value in double quotes after the operator of %s, found %s`, field, excerpt(p.text[start:]))
	}
	var b strings.Builder
	for !p.done() {
		switch c := p.text[p.pos]; {
		case c == '"':
			p.pos++
			return b.String(), fold, nil
		case c == '\\' && escaped:
			s, err := p.escape()
			if err != nil {
				return "", false, err
			}
			b.WriteString(s)
		case c == '\\' && p.peek(`\"`):
			p.pos += 2
			b.WriteByte('"')
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	return "", false, &SyntaxError{Rule: p.text, Column: p.column(open), Reason: "the value of " + field + " has no closing quote", Unclosed: true}
}
