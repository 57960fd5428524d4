// Package certs renews the certificates of a server that is its own authority.
//
// An authority is a self-signed certificate with its key. The bundle is the
// certificates of all authorities that are still valid; clients must trust it.
// The leaf is the server's certificate. [Plan] decides which of them to renew.
// Everything is PEM in the data of one Secret, so that several servers can
// share it:
//
//	ca.crt   the bundle, the newest authority first
//	ca.key   the keys of the authorities, in the same order
//	tls.crt  the leaf
//	tls.key  its key
//
// A new authority is in the bundle long before it signs, and an old one stays as
// long as one of its certificates may be in use. So clients may learn of a new
// bundle up to [Policy.Settle] late.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// Keys of the Secret's data.
const (
	Bundle      = "ca.crt"
	CAKeys      = "ca.key"
	Leaf        = "tls.crt"
	LeafKey     = "tls.key"
	pemCert     = "CERTIFICATE"
	pemKey      = "PRIVATE KEY"
	maxPEMBytes = 1 << 20 // of PEM that are read
)

// Backdated is how long before it is signed a certificate becomes valid: other
// clocks may be so far behind ours.
const Backdated = time.Hour

// Policy has what differs between servers.
type Policy struct {
	// Name is the common name of the leaf, and the beginning of those of
	// authorities.
	Name string
	// Authority and Leaf are lifetimes. A certificate is renewed when a third of
	// its lifetime is left.
	Authority, Leaf time.Duration
	// Settle is the age at which a new authority begins to sign.
	Settle time.Duration
}

// Authority signs certificates.
type Authority struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Plan returns the data that a Secret should have, given what it has and the
// names (or IP addresses) of the server. The second result reports whether that
// is a change. Data that cannot be read is replaced.
func (p Policy) Plan(now time.Time, data map[string][]byte, hosts []string) (map[string][]byte, bool, error) {
	all := authorities(now, data)
	fresh := len(all) > 0 && left(now, all[0].Cert, p.Authority)
	leafGood := fresh && p.goodLeaf(now, data, all, hosts)
	if leafGood {
		return data, false, nil
	}
	if !fresh {
		a, err := p.newAuthority(now)
		if err != nil {
			return nil, false, err
		}
		all = slices.Insert(all, 0, a)
	}
	out := map[string][]byte{}
	for _, a := range all {
		key, err := KeyPEM(a.key)
		if err != nil {
			return nil, false, err
		}
		out[Bundle] = append(out[Bundle], CertPEM(a.Cert)...)
		out[CAKeys] = append(out[CAKeys], key...)
	}
	if p.goodLeaf(now, data, all, hosts) {
		out[Leaf], out[LeafKey] = data[Leaf], data[LeafKey]
		return out, true, nil
	}
	cert, key, err := p.signer(now, all).issue(now, p, hosts)
	if err != nil {
		return nil, false, err
	}
	out[Leaf], out[LeafKey] = cert, key
	return out, true, nil
}

// signer is the newest authority that all clients know; if there is none, the
// newest.
func (p Policy) signer(now time.Time, all []Authority) Authority {
	for _, a := range all {
		if !now.Before(a.Cert.NotBefore.Add(Backdated + p.Settle)) {
			return a
		}
	}
	return all[0]
}

// Signer returns the authority that signs now: for servers that sign more than
// their own leaf. data is what Plan returned.
func (p Policy) Signer(now time.Time, data map[string][]byte) (Authority, error) {
	all := authorities(now, data)
	if len(all) == 0 {
		return Authority{}, errors.New("there is no valid certificate authority")
	}
	return p.signer(now, all), nil
}

// Sign makes a certificate for a public key. Its serial number is random, and it
// is valid no longer than its authority.
func (a Authority) Sign(template *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	if template.NotAfter.After(a.Cert.NotAfter) {
		template.NotAfter = a.Cert.NotAfter
	}
	return sign(template, a.Cert, public, a.key)
}

// authorities returns those that are valid now and whose key is known.
func authorities(now time.Time, data map[string][]byte) []Authority {
	keys := pemBlocks(data[CAKeys], pemKey)
	var out []Authority
	for i, der := range pemBlocks(data[Bundle], pemCert) {
		cert, err := x509.ParseCertificate(der)
		if err != nil || i >= len(keys) || !cert.IsCA || !valid(now, cert) {
			continue
		}
		key, err := parseKey(keys[i])
		if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
			continue
		}
		out = append(out, Authority{cert, key})
	}
	return out
}

// goodLeaf reports whether the leaf need not be renewed.
func (p Policy) goodLeaf(now time.Time, data map[string][]byte, all []Authority, hosts []string) bool {
	certs, keys := pemBlocks(data[Leaf], pemCert), pemBlocks(data[LeafKey], pemKey)
	if len(certs) == 0 || len(keys) != 1 {
		return false
	}
	cert, err := x509.ParseCertificate(certs[0])
	if err != nil || !valid(now, cert) || !left(now, cert, p.Leaf) {
		return false
	}
	key, err := parseKey(keys[0])
	if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
		return false
	}
	for _, h := range hosts {
		if cert.VerifyHostname(h) != nil {
			return false
		}
	}
	return slices.ContainsFunc(all, func(a Authority) bool { return cert.CheckSignatureFrom(a.Cert) == nil })
}

func valid(now time.Time, c *x509.Certificate) bool {
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter)
}

// left reports whether more than a third of a lifetime is left.
func left(now time.Time, c *x509.Certificate, lifetime time.Duration) bool {
	return now.Add(lifetime / 3).Before(c.NotAfter)
}

func (p Policy) newAuthority(now time.Time) (Authority, error) {
	key, err := NewKey()
	if err != nil {
		return Authority{}, err
	}
	cert, err := sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: fmt.Sprintf("%s-%d", p.Name, now.Unix())},
		NotBefore: now.Add(-Backdated), NotAfter: now.Add(p.Authority),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, nil, key.Public(), key)
	return Authority{cert, key}, err
}

// issue makes a leaf and its key. It expires no later than its authority.
func (a Authority) issue(now time.Time, p Policy, hosts []string) (cert, key []byte, err error) {
	k, err := NewKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: p.Name},
		NotBefore:   now.Add(-Backdated),
		NotAfter:    now.Add(p.Leaf),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	leaf, err := a.Sign(template, k.Public())
	if err != nil {
		return nil, nil, err
	}
	key, err = KeyPEM(k)
	return CertPEM(leaf), key, err
}

// sign makes a certificate; without a parent it is self-signed.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// NewKey makes a key as this package's certificates have them: ECDSA P-256.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", k)
	}
	return key, nil
}

// CertPEM and KeyPEM return PEM; the key's is PKCS #8.
func CertPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: c.Raw})
}

func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// pemBlocks returns the contents of the blocks of a type.
func pemBlocks(text []byte, kind string) [][]byte {
	if len(text) > maxPEMBytes {
		return nil
	}
	var out [][]byte
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out
		}
		if b.Type == kind {
			out = append(out, b.Bytes)
		}
	}
}
