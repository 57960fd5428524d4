package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"regexp"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/certs"
)

const (
	nodePrefix = "system:node:"
	nodesGroup = "system:nodes"
	maxName    = 253
)

// nodeName is what a Node may be called: a DNS subdomain (RFC 1123).
var nodeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// ValidNode says whether a node may have a name.
func ValidNode(name string) error {
	if len(name) > maxName || !nodeName.MatchString(name) {
		return refuse("%.80q is not a node's name: lower case letters, digits, '-' and '.', and at most %d of them",
			name, maxName)
	}
	return nil
}

// parseCSR reads a certificate signing request in PEM, checks it and returns the
// node that it is for. Only its key and its common name count.
func parseCSR(text []byte) (*x509.CertificateRequest, string, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, "", refuse("a certificate signing request in PEM is needed")
	}
	csr, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return nil, "", refuse("the certificate signing request cannot be read: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, "", refuse("the certificate signing request is not signed with its own key")
	}
	switch key := csr.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, "", refuse("the key must be ECDSA P-256, P-384 or Ed25519")
		}
	default:
		return nil, "", refuse("the key must be ECDSA P-256, P-384 or Ed25519")
	}
	node, ok := strings.CutPrefix(csr.Subject.CommonName, nodePrefix)
	if !ok {
		return nil, "", refuse("the common name must be %s<node>", nodePrefix)
	}
	if err := ValidNode(node); err != nil {
		return nil, "", err
	}
	return csr, node, nil
}

// issue signs a node's certificate. It is good although the node was reset: what
// lets it have one is newer.
func (s *state) issue(now time.Time, csr *x509.CertificateRequest, node string) (*x509.Certificate, error) {
	a, err := policy().Signer(now, s.data)
	if err != nil {
		return nil, err
	}
	from := now.Truncate(time.Second)
	if at, ok := s.resets[node]; ok && !from.After(at) {
		from = at.Truncate(time.Second).Add(time.Second)
	}
	return a.Sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: nodePrefix + node, Organization: []string{nodesGroup}},
		NotBefore:   from.Add(-certs.Backdated),
		NotAfter:    now.Add(NodeLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey)
}
