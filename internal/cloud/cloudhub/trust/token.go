package trust

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// claims are those of a token's JWT (RFC 7519, section 4.1).
type claims struct {
	ID      string `json:"jti"`
	Subject string `json:"sub,omitempty"` // the node
	Expires int64  `json:"exp"`           // seconds since 1970
}

const (
	// jwtHeader is the only one that is taken: so nobody can choose the
	// algorithm.
	jwtHeader     = `{"alg":"HS256","typ":"JWT"}`
	maxTokenBytes = 2048
	tokenIDBytes  = 8
)

// RefusedError says why a node gets no certificate. Its text is for the person
// who joins the node.
type RefusedError struct{ text string }

func (e *RefusedError) Error() string { return e.text }

// Refuse returns a [*RefusedError].
func Refuse(format string, args ...any) error { return refuse(format, args...) }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// newToken makes a token.
func newToken(now time.Time, node string, life time.Duration) (Token, error) {
	id := make([]byte, tokenIDBytes)
	if _, err := rand.Read(id); err != nil {
		return Token{}, fmt.Errorf("make a token: %w", err)
	}
	now = now.UTC().Truncate(time.Second)
	return Token{ID: hex.EncodeToString(id), Node: node, Created: now, Expires: now.Add(life)}, nil
}

// sign returns a token's JWT.
func sign(key []byte, t Token) (string, error) {
	body, err := json.Marshal(claims{ID: t.ID, Subject: t.Node, Expires: t.Expires.Unix()})
	if err != nil {
		return "", err
	}
	text := part([]byte(jwtHeader)) + "." + part(body)
	return text + "." + part(mac(key, text)), nil
}

func part(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// verify checks a JWT, or a whole token, and returns what it claims. Whether the
// token still exists is another question.
func verify(now time.Time, key []byte, token string) (claims, error) {
	bad := refuse("the join token is not one of this cloudcore: get one with keadm gettoken")
	if len(token) > maxTokenBytes {
		return claims{}, bad
	}
	parts := strings.Split(token, ".")
	if len(parts) == 4 { // with the authority's fingerprint
		parts = parts[1:]
	}
	if len(parts) != 3 {
		return claims{}, bad
	}
	got, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || !hmac.Equal(got, mac(key, parts[0]+"."+parts[1])) {
		return claims{}, bad
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err = errors.Join(err, json.Unmarshal(body, &c)); err != nil || parts[0] != part([]byte(jwtHeader)) {
		return claims{}, bad
	}
	if now.Unix() >= c.Expires {
		return claims{}, refuse("the join token has expired: get a new one with keadm gettoken")
	}
	return c, nil
}

// NodeState is what the cluster knows of a node.
type NodeState struct {
	Exists bool
	Edge   bool // it has been an edge node
}

// may decides which of the tokens, by its ID, lets a node have a certificate.
func may(tokens []Token, id, node string, is NodeState) (int, error) {
	i := slices.IndexFunc(tokens, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return 0, refuse("the join token does not exist any more: get a new one with keadm gettoken")
	}
	t := tokens[i]
	others := slices.ContainsFunc(tokens, func(o Token) bool { return o.ID != id && o.Node == node })
	switch {
	case t.Node != "" && t.Node != node:
		return 0, refuse("the join token is for node %q, not for %q", t.Node, node)
	case is.Exists && !is.Edge:
		return 0, refuse("%q is a node of the cluster itself: choose another name, or delete that Node first", node)
	case t.Node == "" && (is.Exists || others):
		return 0, refuse("there is a node %q already, or a token for it: choose another name, "+
			"or get a token for that node with keadm gettoken --edgenode-name %s", node, node)
	}
	return i, nil
}
