// Package localca issues the certificates of the local API: the server's own, and
// those of the programs on the node that may use it. They are worth something to
// this edgecore alone; the cluster does not know them.
//
// They are valid at all times (from 1970 to the time that RFC 5280, section
// 4.1.2.5, has for certificates without an end): a node that starts without a
// network may have any clock, and must start all the same. What ends a
// certificate is a new authority: remove its files and restart edgecore.
package localca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/akri-go/akri/internal/atomicfile"
)

var (
	notBefore = time.Unix(0, 0).UTC()
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Authority issues certificates.
type Authority struct {
	CertPEM []byte
	// Replaced tells that the one before was damaged.
	Replaced bool
	cert     *x509.Certificate
	key      crypto.Signer
}

// Open reads the authority in a folder (ca.crt, ca.key), or makes one. One that
// is damaged is moved aside, where the last one of its kind stays: all that it has
// issued is issued anew. Files that cannot be read stay as they are, and are an
// error.
func Open(dir string) (*Authority, error) {
	certFile, keyFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	certPEM, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		return create(certFile, keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the local authority: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the local authority's key: %w", err)
	}
	if a, err := parse(certPEM, keyPEM); err == nil {
		return a, nil
	}
	for _, file := range []string{certFile, keyFile} {
		if err := os.Rename(file, file+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the local authority in %s is damaged, remove it for a new one: %w", dir, err)
		}
	}
	a, err := create(certFile, keyFile)
	if err == nil {
		a.Replaced = true
	}
	return a, err
}

func parse(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("it is no authority")
	}
	return &Authority{CertPEM: certPEM, cert: pair.Leaf, key: key}, nil
}

func create(certFile, keyFile string) (*Authority, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "edgecore"}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	certPEM, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		return nil, fmt.Errorf("make the local authority's folder: %w", err)
	}
	// The key first: a certificate without one would never be replaced.
	if err := atomicfile.WriteDurable(keyFile, keyPEM, 0o600); err != nil {
		return nil, fmt.Errorf("write the local authority's key: %w", err)
	}
	if err := atomicfile.WriteDurable(certFile, certPEM, 0o644); err != nil {
		return nil, fmt.Errorf("write the local authority: %w", err)
	}
	return parse(certPEM, keyPEM)
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, notBefore, notAfter
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func (a *Authority) issue(template *x509.Certificate) (certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certPEM, err = sign(template, a.cert, key.Public(), a.key)
	return certPEM, keyPEM, err
}

// Server returns a serving certificate for hosts, each an IP address or a name.
func (a *Authority) Server(hosts ...string) (tls.Certificate, error) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "edgecore"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	certPEM, keyPEM, err := a.issue(template)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// Client returns a client's certificate and key, as PEM.
func (a *Authority) Client(user string, groups ...string) (certPEM, keyPEM []byte, err error) {
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// WriteClient has a client's certificate and key in one file, which only its
// owner reads. One that is there and good stays.
func (a *Authority) WriteClient(file, user string, groups ...string) error {
	if old, err := os.ReadFile(file); err == nil {
		if pair, err := tls.X509KeyPair(old, old); err == nil && a.verify(pair.Leaf) == nil &&
			pair.Leaf.Subject.CommonName == user {
			return nil
		}
	}
	certPEM, keyPEM, err := a.Client(user, groups...)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, bytes.Join([][]byte{certPEM, keyPEM}, nil), 0o600)
}

// verify checks that a certificate is one of this authority for a client. Time
// does not count.
func (a *Authority) verify(cert *x509.Certificate) error {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: cert.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// User returns a client's name, if the peer of a connection has shown a certificate of this
// authority.
func (a *Authority) User(state tls.ConnectionState) (name string, ok bool) {
	if len(state.PeerCertificates) == 0 || a.verify(state.PeerCertificates[0]) != nil {
		return "", false
	}
	return state.PeerCertificates[0].Subject.CommonName, true
}

// Config is that of a server: it asks for clients' certificates, which User
// judges at each request.
func (a *Authority) Config(server tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert,
		// A resumed session would carry certificates of an older authority.
		SessionTicketsDisabled: true,
	}
}
