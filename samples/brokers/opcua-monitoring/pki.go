package main

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/pkcs12"

	"github.com/akri-go/akri/samples/brokers"
)

// pki is what is mounted: who the broker is, and which servers it trusts. The
// folders are upstream's.
type pki struct {
	certificate *x509.Certificate
	key         *rsa.PrivateKey
	trusted     []*x509.Certificate // of servers, or of those who sign them
	issuers     []*x509.Certificate // between a server and who is trusted
	revoked     []*x509.RevocationList
}

// minKeyBits is what all policies want of certificates at least.
const minKeyBits = 2048

// readPKI reads the folder of certificates; nil if there is none.
func readPKI(dir, password string) (*pki, error) {
	own, err := brokers.ReadSecret(filepath.Join(dir, "own/certs"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := brokers.ReadSecret(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	p := new(pki)
	certificates, err := parseAll(own, x509.ParseCertificates)
	if err != nil || len(certificates) == 0 {
		return nil, fmt.Errorf("read the broker's certificate in %s/own/certs: %w", dir, orNone(err))
	}
	p.certificate = certificates[0]
	if p.key, err = readKey(filepath.Join(dir, "own/private"), password); err != nil {
		return nil, err
	}
	if public, ok := p.certificate.PublicKey.(*rsa.PublicKey); !ok || !p.key.PublicKey.Equal(public) {
		return nil, fmt.Errorf("the key in %s/own/private is not that of the certificate in own/certs", dir)
	}
	if p.trusted, err = readFolder(dir, "trusted/certs", x509.ParseCertificates); err != nil {
		return nil, err
	}
	if len(p.trusted) == 0 {
		return nil, fmt.Errorf("there is no certificate in %s/trusted/certs, so no server can be trusted: put the server's there, or that of who has signed it", dir)
	}
	if p.issuers, err = readFolder(dir, "issuer/certs", x509.ParseCertificates); err != nil {
		return nil, err
	}
	lists := func(der []byte) ([]*x509.RevocationList, error) {
		list, err := x509.ParseRevocationList(der)
		return []*x509.RevocationList{list}, err
	}
	p.revoked, err = readFolder(dir, "trusted/crl", lists)
	return p, err
}

func orNone(err error) error {
	if err == nil {
		return errors.New("there is none")
	}
	return err
}

// readFolder reads a folder that may be missing.
func readFolder[T any](dir, name string, parse func([]byte) ([]T, error)) ([]T, error) {
	files, err := brokers.ReadSecret(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var all []T
		if all, err = parseAll(files, parse); err == nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("read certificates in %s/%s: %w", dir, name, err)
}

// parseAll parses files by name, which are DER or PEM.
func parseAll[T any](files map[string][]byte, parse func([]byte) ([]T, error)) ([]T, error) {
	var all []T
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list, err := parse(der(files[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// der returns what is in the blocks of PEM, or the data if it is none.
func der(data []byte) []byte {
	var all []byte
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		all = append(all, block.Bytes...)
	}
	if all == nil {
		return data
	}
	return all
}

// readKey reads the first key of a folder.
func readKey(dir, password string) (*rsa.PrivateKey, error) {
	files, err := brokers.ReadSecret(dir)
	if err == nil && len(files) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("read the broker's key in %s: %w", dir, err)
	}
	name := slices.Min(slices.Collect(maps.Keys(files)))
	key, err := parseKey(files[name], password)
	if err != nil {
		return nil, fmt.Errorf("read the broker's key in %s: %s: %w", dir, name, err)
	}
	if key.N.BitLen() < minKeyBits {
		return nil, fmt.Errorf("the broker's key in %s has %d bits, servers want %d", dir, key.N.BitLen(), minKeyBits)
	}
	return key, nil
}

// parseKey reads a key in PKCS #12, as upstream's broker has it, or in PKCS #8 or
// PKCS #1, as PEM or DER.
func parseKey(data []byte, password string) (*rsa.PrivateKey, error) {
	data = der(data)
	if key, err := x509.ParsePKCS1PrivateKey(data); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(data)
	if err != nil {
		if key, _, err = pkcs12.Decode(data, password); err != nil {
			if _, ok := errors.AsType[pkcs12.NotImplementedError](err); ok {
				err = fmt.Errorf("%w: make it with \"openssl pkcs12 -export -legacy\", or mount the key as PEM", err)
			}
			return nil, err
		}
	}
	if rsaKey, ok := key.(*rsa.PrivateKey); ok {
		return rsaKey, nil
	}
	return nil, fmt.Errorf("it is a %T: OPC UA's security policies want RSA", key)
}

// applicationURI is what a certificate says that its owner is.
func applicationURI(c *x509.Certificate) string {
	if len(c.URIs) == 0 {
		return ""
	}
	return c.URIs[0].String()
}

// trusts returns the server's certificate of what it sends, which may be a chain,
// if it is trusted to be the server: with its application URI, if that is known, or
// else at the host of its URL.
func (p *pki) trusts(chain []byte, application, serverURL string, now time.Time) (*x509.Certificate, error) {
	certificates, err := x509.ParseCertificates(chain)
	if err != nil || len(certificates) == 0 {
		return nil, fmt.Errorf("the server's certificate cannot be read: %w", orNone(err))
	}
	leaf := certificates[0]
	if public, ok := leaf.PublicKey.(*rsa.PublicKey); !ok || public.N.BitLen() < minKeyBits {
		return nil, fmt.Errorf("the server's certificate has no RSA key of %d bits or more", minKeyBits)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range p.trusted {
		roots.AddCert(c)
	}
	for _, c := range append(slices.Clone(p.issuers), certificates[1:]...) {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, fmt.Errorf("the server's certificate (%s) is not trusted: %w; put it, or that of who has signed it, into trusted/certs", leaf.Subject, err)
	}
	for _, chain := range chains {
		if err := p.notRevoked(chain); err != nil {
			return nil, err
		}
	}
	return leaf, p.names(leaf, application, serverURL)
}

// names says whether a trusted certificate is that of the wanted server.
func (p *pki) names(leaf *x509.Certificate, application, serverURL string) error {
	if application != "" {
		if uri := applicationURI(leaf); uri != application {
			return fmt.Errorf("the server's certificate is that of %q, and the server was found as %q", uri, application)
		}
		return nil
	}
	u, err := url.Parse(serverURL)
	if err == nil {
		err = leaf.VerifyHostname(u.Hostname())
	}
	if err != nil && !p.pinned(leaf) {
		return fmt.Errorf("the server's certificate is another server's: %w; set OPCUA_APPLICATION_URI to %q if it is the one you mean", err, applicationURI(leaf))
	}
	return nil
}

// pinned says whether the certificate itself is trusted, not only who signed it.
func (p *pki) pinned(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(p.trusted, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, leaf.Raw) })
}

// notRevoked looks for the certificates of a chain in the lists of their issuers.
func (p *pki) notRevoked(chain []*x509.Certificate) error {
	for i, c := range chain[:len(chain)-1] {
		for _, list := range p.revoked {
			if list.CheckSignatureFrom(chain[i+1]) != nil { // another one's list
				continue
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return fmt.Errorf("the certificate of %s, number %s, is revoked", c.Subject, strings.ToUpper(c.SerialNumber.Text(16)))
				}
			}
		}
	}
	return nil
}
