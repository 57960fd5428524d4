package trust

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/certs"
)

// Keys of the Store's data beside those of package certs.
const (
	tokenKey   = "token.key"
	tokensJSON = "tokens.json"
	resetsJSON = "resets.json"
)

// Lifetimes and limits.
const (
	// NodeLifetime is how long a node's certificate is valid.
	NodeLifetime = 365 * 24 * time.Hour
	// settle is longer: when a new authority begins to sign, all nodes know it,
	// since each has renewed its certificate, and got the bundle with it.
	settle            = 400 * 24 * time.Hour
	authorityLifetime = 10 * 365 * 24 * time.Hour
	serverLifetime    = 365 * 24 * time.Hour
	tokenKeyBytes     = 32
	maxTokens         = 1000
)

// policy says how authority and cloudcore's own certificate are renewed.
func policy() certs.Policy {
	return certs.Policy{Name: "cloudcore", Authority: authorityLifetime, Leaf: serverLifetime, Settle: settle}
}

// Token is a join token as it is listed. It does not contain the secret.
type Token struct {
	ID string `json:"id"`
	// Node is whom it is for; empty: the first new node that uses it.
	Node    string    `json:"node,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	// Used is when a node last got a certificate with it; zero: never.
	Used time.Time `json:"used,omitzero"`
}

// state is the data of the Store, read.
type state struct {
	data   map[string][]byte
	tokens []Token
	// resets has nodes whose certificates are good only if they were signed
	// later.
	resets map[string]time.Time
}

// plan reads data, and renews what must be; changed says that it must be
// written. What has expired is dropped.
func plan(now time.Time, data map[string][]byte) (s *state, changed bool, err error) {
	s = &state{data: maps.Clone(data), resets: map[string]time.Time{}}
	if s.data == nil {
		s.data = map[string][]byte{}
	}
	renewed, changed, err := policy().Plan(now, data, []string{edgev1.ServerName})
	if err != nil {
		return nil, false, err
	}
	maps.Copy(s.data, renewed)
	if len(s.data[tokenKey]) != tokenKeyBytes {
		key := make([]byte, tokenKeyBytes)
		if _, err := rand.Read(key); err != nil {
			return nil, false, fmt.Errorf("make a key for tokens: %w", err)
		}
		s.data[tokenKey], changed = key, true
	}
	if err := read(data, tokensJSON, &s.tokens); err != nil {
		return nil, false, err
	}
	if err := read(data, resetsJSON, &s.resets); err != nil {
		return nil, false, err
	}
	s.tokens = slices.DeleteFunc(s.tokens, func(t Token) bool { return !now.Before(t.Expires) })
	maps.DeleteFunc(s.resets, func(_ string, at time.Time) bool { return now.Sub(at) > NodeLifetime+certs.Backdated })
	return s, changed, nil
}

// read is strict: a list of resets that cannot be read is not an empty one.
func read(data map[string][]byte, key string, into any) error {
	if len(data[key]) == 0 {
		return nil
	}
	if err := json.Unmarshal(data[key], into); err != nil {
		return fmt.Errorf("%s of cloudcore's Secret cannot be read (delete the key to begin anew): %w", key, err)
	}
	return nil
}

// encode returns the data to write.
func (s *state) encode() (map[string][]byte, error) {
	slices.SortFunc(s.tokens, func(a, b Token) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	tokens, err := json.Marshal(s.tokens)
	if err != nil {
		return nil, err
	}
	resets, err := json.Marshal(s.resets)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(s.data)
	out[tokensJSON], out[resetsJSON] = tokens, resets
	return out, nil
}

// revoked reports whether a node's certificate was signed before the node was
// reset.
func (s *state) revoked(node string, c *x509.Certificate) bool {
	at, ok := s.resets[node]
	return ok && !signedAt(c).After(at)
}

// signedAt is when this package signed a certificate, to the second.
func signedAt(c *x509.Certificate) time.Time { return c.NotBefore.Add(certs.Backdated) }

// serverTLS returns what cloudcore shows, and whom it believes.
func (s *state) serverTLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(s.data[certs.Leaf], s.data[certs.LeafKey])
	if err != nil {
		return nil, fmt.Errorf("cloudcore's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.data[certs.Bundle]) {
		return nil, errors.New("there is no certificate authority")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool}, nil
}

// fingerprint is the first part of tokens: that of the authority that has signed
// cloudcore's present certificate, since it is what a joining node can check.
func (s *state) fingerprint() (string, error) {
	b, _ := pem.Decode(s.data[certs.Leaf])
	if b == nil {
		return "", errors.New("cloudcore has no certificate")
	}
	leaf, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return "", fmt.Errorf("cloudcore's certificate: %w", err)
	}
	for rest := s.data[certs.Bundle]; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return "", errors.New("the authority of cloudcore's certificate is gone")
		}
		if ca, err := x509.ParseCertificate(b.Bytes); err == nil && leaf.CheckSignatureFrom(ca) == nil {
			sum := sha256.Sum256(ca.Raw)
			return hex.EncodeToString(sum[:]), nil
		}
	}
}
