package simulator

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// nonceLife is how long a nonce of HTTP digest is good.
const nonceLife = 5 * time.Minute

// digest is HTTP digest authentication with qop=auth (RFC 7616).
type digest struct {
	realm, username, password string

	algorithms []string
	now        func() time.Time

	mu     sync.Mutex
	nonces map[string]*issued
}

type issued struct {
	until time.Time
	count uint64 // the highest nonce count that was used
}

func newDigest(o *Options, now func() time.Time) *digest {
	return &digest{realm: "camera", username: o.Username, password: o.Password, algorithms: o.Algorithms, now: now,
		nonces: map[string]*issued{}}
}

// admit says whether a request has the right credentials. If not, it answers 401
// with a challenge for each algorithm.
func (d *digest) admit(w http.ResponseWriter, r *http.Request) bool {
	ok, stale := d.check(r.Method, r.RequestURI, r.Header.Get("Authorization"))
	if ok {
		return true
	}
	nonce := d.issue()
	for _, a := range d.algorithms {
		challenge := fmt.Sprintf(`Digest realm="%s", qop="auth", algorithm=%s, nonce="%s", opaque="%s"`,
			d.realm, a, nonce, nonce[:8])
		if stale {
			challenge += ", stale=true"
		}
		w.Header().Add("WWW-Authenticate", challenge)
	}
	http.Error(w, "authentication is needed", http.StatusUnauthorized)
	return false
}

// issue makes a nonce. When there are too many, the one that ends first goes.
func (d *digest) issue() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	nonce := hex.EncodeToString(b[:])
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.nonces) >= maxNonces {
		oldest := ""
		for n, i := range d.nonces {
			if oldest == "" || i.until.Before(d.nonces[oldest].until) {
				oldest = n
			}
		}
		delete(d.nonces, oldest)
	}
	d.nonces[nonce] = &issued{until: d.now().Add(nonceLife)}
	return nonce
}

// check judges an Authorization header. stale says that only the nonce is wrong.
func (d *digest) check(method, uri, authorization string) (ok, stale bool) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Digest") || len(rest) > 4096 {
		return false, false
	}
	p := parameters(rest)
	algorithm := p["algorithm"]
	if algorithm == "" {
		algorithm = MD5
	}
	i := slices.IndexFunc(d.algorithms, func(a string) bool { return strings.EqualFold(a, algorithm) })
	if i < 0 || p["qop"] != "auth" || p["uri"] != uri || p["realm"] != d.realm || p["cnonce"] == "" ||
		p["username"] != d.username {
		return false, false
	}
	sum := hashOf(d.algorithms[i])
	a1 := sum(d.username + ":" + d.realm + ":" + d.password)
	a2 := sum(method + ":" + uri)
	want := sum(strings.Join([]string{a1, p["nonce"], p["nc"], p["cnonce"], "auth", a2}, ":"))
	if !hmac.Equal([]byte(want), []byte(strings.ToLower(p["response"]))) {
		return false, false
	}
	count, err := strconv.ParseUint(p["nc"], 16, 64)
	if err != nil || len(p["nc"]) != 8 {
		return false, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nonces[p["nonce"]]
	if n == nil || d.now().After(n.until) || count <= n.count {
		return false, true
	}
	n.count = count
	return true, false
}

func hashOf(algorithm string) func(string) string {
	return func(s string) string {
		var h hash.Hash = md5.New()
		if algorithm == SHA256 {
			h = sha256.New()
		}
		h.Write([]byte(s))
		return hex.EncodeToString(h.Sum(nil))
	}
}

// parameters reads "name=value, name="quoted value", …" (RFC 9110, 11.4). What
// is malformed ends the list.
func parameters(s string) map[string]string {
	out := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return out
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, s, ok = unquote(rest[1:])
			if !ok {
				return out
			}
		} else {
			end := strings.IndexAny(rest, ", \t")
			if end < 0 {
				end = len(rest)
			}
			value, s = rest[:end], rest[end:]
		}
		out[strings.ToLower(strings.TrimSpace(name))] = value
	}
}

// unquote reads up to the closing quote and returns what comes after it.
func unquote(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
