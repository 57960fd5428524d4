// Package sessiontest has certificates and connections for tests of the link's
// ends.
package sessiontest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Authority signs certificates, and is what cloudhub asks about them.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	leaf tls.Certificate

	mu      sync.Mutex
	revoked map[string]bool
}

// NewAuthority makes an authority with a certificate of cloudcore.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{revoked: map[string]bool{}, key: newKey(t)}
	a.cert = sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: inAnHour(),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, a.key, a.key)
	key := newKey(t)
	leaf := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "cloudcore"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{edgev1.ServerName}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a.cert, key, a.key)
	a.leaf = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	return a
}

// Node returns how a node connects. Its certificate is valid until then.
func (a *Authority) Node(t testing.TB, commonName string, until time.Time) *tls.Config {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: commonName, Organization: []string{"system:nodes"}},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.cert, key, a.key)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: edgev1.ServerName,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
	}
}

// ServerTLS returns cloudcore's side.
func (a *Authority) ServerTLS() (*tls.Config, error) {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{a.leaf}, ClientCAs: pool}, nil
}

// Revoke revokes the certificates of a node.
func (a *Authority) Revoke(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked[node] = true
}

// Revoked tells of it.
func (a *Authority) Revoked(node string, _ *x509.Certificate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.revoked[node]
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
