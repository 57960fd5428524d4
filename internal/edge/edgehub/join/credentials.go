package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/atomicfile"
)

// The files of the folder, in PEM.
const (
	CertificateFile = "edge.pem"
	AuthoritiesFile = "ca.crt"
)

const nodePrefix = "system:node:"

// ErrNone is that of a node that has not joined.
var ErrNone = errors.New("this node has not joined: get a token with keadm gettoken and join")

// Credentials are what a node has.
type Credentials struct {
	Node        string
	Certificate tls.Certificate
	Authorities *x509.CertPool
}

// Load reads them; [ErrNone] if there are none.
func Load(dir string) (*Credentials, error) {
	both, err := os.ReadFile(filepath.Join(dir, CertificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	authorities, err := os.ReadFile(filepath.Join(dir, AuthoritiesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cloudcore's authorities are missing (join again to have them): %w", err)
	}
	if err != nil {
		return nil, err
	}
	c, err := parse(both, authorities)
	if err != nil {
		return nil, fmt.Errorf("read the certificates in %s (join again to replace them): %w", dir, err)
	}
	return c, nil
}

func parse(both, authorities []byte) (*Credentials, error) {
	pair, err := tls.X509KeyPair(both, both)
	if err != nil {
		return nil, err
	}
	node, ok := strings.CutPrefix(pair.Leaf.Subject.CommonName, nodePrefix)
	if !ok {
		return nil, fmt.Errorf("the certificate of %q is not that of a node", pair.Leaf.Subject.CommonName)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, errors.New("there is no certificate authority")
	}
	return &Credentials{Node: node, Certificate: pair, Authorities: pool}, nil
}

// TLS returns how the node connects.
func (c *Credentials) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: edgev1.ServerName,
		RootCAs: c.Authorities, Certificates: []tls.Certificate{c.Certificate}}
}

// TLS returns what reads a folder anew each time: for package link.
func TLS(dir string) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		c, err := Load(dir)
		if err != nil {
			return nil, err
		}
		return c.TLS(), nil
	}
}

// store checks what cloudcore answered and writes it. The authorities come
// first: a certificate without them would be of no use.
func store(dir, node string, key *ecdsa.PrivateKey, certificate, authorities string) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	both := append([]byte(certificate), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	c, err := parse(both, []byte(authorities))
	if err != nil {
		return fmt.Errorf("cloudcore's answer: %w", err)
	}
	if c.Node != node {
		return fmt.Errorf("cloudcore's answer is a certificate for node %q, not for %q", c.Node, node)
	}
	leaf := c.Certificate.Leaf
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.Authorities, CurrentTime: leaf.NotBefore.Add(time.Minute),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("cloudcore's answer: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := atomicfile.WriteDurable(filepath.Join(dir, AuthoritiesFile), []byte(authorities), 0o644); err != nil {
		return err
	}
	return atomicfile.WriteDurable(filepath.Join(dir, CertificateFile), both, 0o600)
}

// request makes a key and a certificate signing request for a node.
func request(node string) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: nodePrefix + node, Organization: []string{"system:nodes"}},
	}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate signing request: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// renewAt says when a certificate is renewed: when 70 to 90 % of its life is
// over. It is another time for each certificate, and the same after each restart.
func renewAt(c *x509.Certificate) time.Time {
	sum := sha256.Sum256(c.Raw)
	part := 0.7 + 0.2*float64(binary.BigEndian.Uint32(sum[:]))/(1<<32)
	return c.NotBefore.Add(time.Duration(float64(c.NotAfter.Sub(c.NotBefore)) * part))
}
