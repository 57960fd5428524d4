package rule

import (
	"strconv"
	"strings"
)

// escape takes one escape sequence of C, as e"…" allows them.
func (p *parser) escape() (string, error) {
	start := p.pos
	p.pos++ // the backslash
	if p.done() {
		return "", p.errorf(start, "the escape sequence has no end")
	}
	c := p.text[p.pos]
	p.pos++
	const letters, bytes = `abfnrtvs\"'`, "\a\b\f\n\r\t\v \\\"'"
	if i := strings.IndexByte(letters, c); i >= 0 {
		return bytes[i : i+1], nil
	}
	digits, base := 0, 16
	switch {
	case c == 'x':
		digits = 2
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	case '0' <= c && c <= '7':
		p.pos--
		digits, base = 3, 8
	}
	if digits > 0 && len(p.rest()) >= digits {
		n, err := strconv.ParseUint(p.rest()[:digits], base, 32)
		isByte := c != 'u' && c != 'U'
		switch {
		case err != nil, n == 0, isByte && n > 0xff, n > 0x10ffff, 0xd800 <= n && n < 0xe000:
		case isByte:
			p.pos += digits
			return string([]byte{byte(n)}), nil
		default:
			p.pos += digits
			return string(rune(n)), nil
		}
	}
	return "", p.errorf(start, `unknown escape sequence: e"…" knows \a \b \f \n \r \t \v \s \\ \" \' \ooo \xhh \uhhhh \Uhhhhhhhh`)
}
