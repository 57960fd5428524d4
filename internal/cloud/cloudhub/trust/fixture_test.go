package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust/trusttest"
)

// clock is the time of keepers.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newKeeper(t testing.TB, m *trusttest.Memory, c *clock) *trust.Keeper {
	t.Helper()
	k := trust.New(m, m, slog.New(slog.DiscardHandler))
	k.SetClock(c.Now)
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

func start(t testing.TB) (*trust.Keeper, *trusttest.Memory, *clock) {
	t.Helper()
	m, c := &trusttest.Memory{}, &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)}
	return newKeeper(t, m, c), m, c
}

// csr makes a request; change may be nil.
func csr(t testing.TB, commonName string, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func node(t testing.TB, name string) []byte { return csr(t, "system:node:"+name, nil) }

func token(t testing.TB, k *trust.Keeper, node string, life time.Duration) (string, trust.Token) {
	t.Helper()
	text, of, err := k.CreateToken(t.Context(), node, life)
	if err != nil {
		t.Fatal(err)
	}
	return text, of
}

func mustJoin(t testing.TB, k *trust.Keeper, name, token string) *x509.Certificate {
	t.Helper()
	c, err := k.Join(t.Context(), node(t, name), token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused checks that there is no certificate, for that reason.
func refused(t testing.TB, what string, c *x509.Certificate, err error, want string) {
	t.Helper()
	var r *trust.RefusedError
	if c != nil || !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, %v, want %q", what, c != nil, err, want)
	}
}

// good says whether the hub would let a certificate in.
func good(t testing.TB, k *trust.Keeper, c *x509.Certificate, now time.Time) error {
	t.Helper()
	config, err := k.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: config.ClientCAs, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return err
	}
	if k.Revoked(strings.TrimPrefix(c.Subject.CommonName, "system:node:"), c) {
		return errors.New("revoked")
	}
	return nil
}
