package simulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// issuer makes the cameras' certificates.
type issuer struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
	now   time.Time

	mu   sync.Mutex
	made map[issue]*tls.Certificate
}

type issue struct {
	address netip.Addr
	expired bool
}

func newIssuer(now time.Time) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camera simulator"},
		NotBefore: now.AddDate(-5, 0, 0), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	i := &issuer{key: key, cert: cert, roots: x509.NewCertPool(), now: now, made: map[issue]*tls.Certificate{}}
	i.roots.AddCert(cert)
	return i, nil
}

// certificate returns the one of an address; one that expired yesterday if asked.
func (i *issuer) certificate(address netip.Addr, expired bool) (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	which := issue{address.WithZone(""), expired}
	if c := i.made[which]; c != nil {
		return c, nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(i.made) + 2)), Subject: pkix.Name{CommonName: which.address.String()},
		NotBefore: i.now.AddDate(-4, 0, 0), NotAfter: i.now.AddDate(4, 0, 0),
		IPAddresses: []net.IP{which.address.AsSlice()}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if expired {
		template.NotAfter = i.now.AddDate(0, 0, -1)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &i.key.PublicKey, i.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, i.cert.Raw}, PrivateKey: i.key}
	i.made[which] = c
	return c, nil
}
