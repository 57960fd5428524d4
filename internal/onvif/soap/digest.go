package soap

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// challenge is what a server asks for: RFC 7616, section 3.3.
type challenge struct {
	realm, nonce, opaque string
	hasOpaque            bool
	algorithm            string // as it is written; "" for MD5
	qop                  bool   // auth is offered; else the form of RFC 2069
	stale                bool
}

// hasher returns the hash of an algorithm, and whether its session form is meant;
// nil if we do not have it.
func (c challenge) hasher() (newHash func() hash.Hash, session bool) {
	name, session := strings.CutSuffix(strings.ToUpper(c.algorithm), "-SESS")
	switch name {
	case "", "MD5":
		return md5.New, session
	case "SHA-256":
		return sha256.New, session
	}
	return nil, false
}

func (c challenge) isSHA() bool { return strings.HasPrefix(strings.ToUpper(c.algorithm), "SHA") }

// strongest returns the best challenge of those in WWW-Authenticate headers:
// SHA-256 before MD5. It does not know Basic, which would give the password away.
func strongest(headers []string) (best challenge, ok bool) {
	for _, h := range headers {
		for _, c := range parseChallenges(h) {
			if newHash, _ := c.hasher(); newHash == nil {
				continue
			}
			if !ok || c.isSHA() && !best.isSHA() {
				best, ok = c, true
			}
		}
	}
	return best, ok
}

const maxChallenges = 8

// parseChallenges reads the challenges of the scheme Digest in one header, which
// may have several, of other schemes too.
func parseChallenges(header string) (list []challenge) {
	var current *parameters
	end := func() {
		if current != nil && len(list) < maxChallenges {
			if c, ok := current.challenge(); ok {
				list = append(list, c)
			}
		}
		current = nil
	}
	for rest := header; rest != ""; {
		rest = strings.TrimLeft(rest, " \t,")
		n := strings.IndexAny(rest, " \t,=")
		if n <= 0 {
			break
		}
		word := rest[:n]
		rest = strings.TrimLeft(rest[n:], " \t")
		if !strings.HasPrefix(rest, "=") { // a scheme begins
			end()
			if strings.EqualFold(word, "Digest") {
				current = &parameters{}
			}
			continue
		}
		var value string
		value, rest = parseValue(strings.TrimLeft(rest[1:], " \t"))
		if current != nil {
			current.set(strings.ToLower(word), value)
		}
	}
	end()
	return list
}

// parseValue reads a token or a quoted text, and returns what follows it.
func parseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		n := strings.IndexAny(s, ", \t")
		if n < 0 {
			n = len(s)
		}
		return s[:n], s[n:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// parameters are those of one challenge, as they are read.
type parameters struct {
	c        challenge
	qops     []string
	hasQop   bool
	hasNonce bool
}

func (p *parameters) set(name, value string) {
	switch name {
	case "realm":
		p.c.realm = value
	case "nonce":
		p.c.nonce, p.hasNonce = value, true
	case "opaque":
		p.c.opaque, p.c.hasOpaque = value, true
	case "algorithm":
		p.c.algorithm = value
	case "stale":
		p.c.stale = strings.EqualFold(value, "true")
	case "qop":
		p.hasQop = true
		for q := range strings.SplitSeq(value, ",") {
			p.qops = append(p.qops, strings.ToLower(strings.TrimSpace(q)))
		}
	}
}

// challenge returns what was read if it can be answered: qop must offer auth if
// it is there.
func (p *parameters) challenge() (challenge, bool) {
	p.c.qop = slices.Contains(p.qops, "auth")
	return p.c, p.hasNonce && (p.c.qop || !p.hasQop)
}

// digestState is a challenge that requests are answered by.
type digestState struct {
	challenge challenge
	count     uint32 // of requests with this nonce
	renewed   bool   // the nonce is not the first
}

// authorize makes the header Authorization for a request.
func (d *digestState) authorize(c Credentials, method, uri string) (string, error) {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it never fails
	d.count++
	return d.challenge.authorize(c, method, uri, hex.EncodeToString(random), d.count)
}

// authorize is RFC 7616, section 3.4, and RFC 2069 where the server has no qop.
func (c challenge) authorize(user Credentials, method, uri, cnonce string, count uint32) (string, error) {
	newHash, session := c.hasher()
	if newHash == nil {
		return "", fmt.Errorf("digest by %q is not known", c.algorithm)
	}
	h := func(s string) string {
		sum := newHash()
		sum.Write([]byte(s))
		return hex.EncodeToString(sum.Sum(nil))
	}
	nc := fmt.Sprintf("%08x", count)
	ha1 := h(user.Username + ":" + c.realm + ":" + user.Password)
	if session {
		ha1 = h(ha1 + ":" + c.nonce + ":" + cnonce)
	}
	ha2 := h(method + ":" + uri)
	var response string
	if c.qop {
		response = h(ha1 + ":" + c.nonce + ":" + nc + ":" + cnonce + ":auth:" + ha2)
	} else {
		response = h(ha1 + ":" + c.nonce + ":" + ha2)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Digest username=%s, realm=%s, nonce=%s, uri=%s, response=%q",
		quote(user.Username), quote(c.realm), quote(c.nonce), quote(uri), response)
	if c.algorithm != "" {
		b.WriteString(", algorithm=" + strings.Map(tokenRune, c.algorithm))
	}
	if c.hasOpaque {
		b.WriteString(", opaque=" + quote(c.opaque))
	}
	if c.qop || session {
		fmt.Fprintf(&b, ", cnonce=%q", cnonce)
	}
	if c.qop {
		b.WriteString(", qop=auth, nc=" + nc)
	}
	return b.String(), nil
}

// quote makes a quoted text of HTTP. What no header may have is left out.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch {
		case s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f:
			continue
		case s[i] == '"', s[i] == '\\':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func tokenRune(r rune) rune {
	if r > 0x7e || r <= ' ' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
		return -1
	}
	return r
}
