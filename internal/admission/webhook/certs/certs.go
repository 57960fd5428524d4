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
// A new authority is in the bundle long before it signs a leaf, and an old one
// stays as long as one of its leaves may be in use. So clients may learn of a
// new bundle up to [SettlePeriod] late.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
	name        = "akri-webhook"
	pemCert     = "CERTIFICATE"
	pemKey      = "PRIVATE KEY"
	maxPEMBytes = 1 << 20 // of PEM that are read
)

// Lifetimes. Each certificate is renewed when a third of its lifetime is left.
const (
	AuthorityLifetime = 2 * 365 * 24 * time.Hour
	LeafLifetime      = 90 * 24 * time.Hour
	// SettlePeriod is the age at which a new authority begins to sign.
	SettlePeriod = 24 * time.Hour
	// maxClockSkew is how far other clocks may be behind ours.
	maxClockSkew = time.Hour
)

// authority signs leaves.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Plan returns the data that a Secret should have, given what it has and the
// names (or IP addresses) of the server. The second result reports whether that
// is a change. Data that cannot be read is replaced.
func Plan(now time.Time, data map[string][]byte, hosts []string) (map[string][]byte, bool, error) {
	all := authorities(now, data)
	fresh := len(all) > 0 && left(now, all[0].cert, AuthorityLifetime)
	leafGood := fresh && goodLeaf(now, data, all, hosts)
	if leafGood {
		return data, false, nil
	}
	if !fresh {
		a, err := newAuthority(now)
		if err != nil {
			return nil, false, err
		}
		all = slices.Insert(all, 0, a)
	}
	out := map[string][]byte{}
	for _, a := range all {
		key, err := keyPEM(a.key)
		if err != nil {
			return nil, false, err
		}
		out[Bundle] = append(out[Bundle], certPEM(a.cert)...)
		out[CAKeys] = append(out[CAKeys], key...)
	}
	if goodLeaf(now, data, all, hosts) {
		out[Leaf], out[LeafKey] = data[Leaf], data[LeafKey]
		return out, true, nil
	}
	cert, key, err := signer(now, all).issue(now, hosts)
	if err != nil {
		return nil, false, err
	}
	out[Leaf], out[LeafKey] = cert, key
	return out, true, nil
}

// signer is the newest authority that all clients know; if there is none, the
// newest.
func signer(now time.Time, all []authority) authority {
	for _, a := range all {
		if !now.Before(a.cert.NotBefore.Add(maxClockSkew + SettlePeriod)) {
			return a
		}
	}
	return all[0]
}

// authorities returns those that are valid now and whose key is known.
func authorities(now time.Time, data map[string][]byte) []authority {
	keys := pemBlocks(data[CAKeys], pemKey)
	var out []authority
	for i, der := range pemBlocks(data[Bundle], pemCert) {
		cert, err := x509.ParseCertificate(der)
		if err != nil || i >= len(keys) || !cert.IsCA || !valid(now, cert) {
			continue
		}
		key, err := parseKey(keys[i])
		if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
			continue
		}
		out = append(out, authority{cert, key})
	}
	return out
}

// goodLeaf reports whether the leaf need not be renewed.
func goodLeaf(now time.Time, data map[string][]byte, all []authority, hosts []string) bool {
	certs, keys := pemBlocks(data[Leaf], pemCert), pemBlocks(data[LeafKey], pemKey)
	if len(certs) == 0 || len(keys) != 1 {
		return false
	}
	cert, err := x509.ParseCertificate(certs[0])
	if err != nil || !valid(now, cert) || !left(now, cert, LeafLifetime) {
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
	return slices.ContainsFunc(all, func(a authority) bool { return cert.CheckSignatureFrom(a.cert) == nil })
}

func valid(now time.Time, c *x509.Certificate) bool {
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter)
}

// left reports whether more than a third of a lifetime is left.
func left(now time.Time, c *x509.Certificate, lifetime time.Duration) bool {
	return now.Add(lifetime / 3).Before(c.NotAfter)
}

func newAuthority(now time.Time) (authority, error) {
	key, err := newKey()
	if err != nil {
		return authority{}, err
	}
	cert, err := sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: fmt.Sprintf("%s-%d", name, now.Unix())},
		NotBefore: now.Add(-maxClockSkew), NotAfter: now.Add(AuthorityLifetime),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, nil, key.Public(), key)
	return authority{cert, key}, err
}

// issue makes a leaf and its key. It expires no later than its authority.
func (a authority) issue(now time.Time, hosts []string) (cert, key []byte, err error) {
	k, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   now.Add(-maxClockSkew),
		NotAfter:    now.Add(LeafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	leaf, err := sign(template, a.cert, k.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(k)
	return certPEM(leaf), key, err
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

func newKey() (*ecdsa.PrivateKey, error) {
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

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: c.Raw})
}

func keyPEM(key crypto.Signer) ([]byte, error) {
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
