package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// keys are made once: they take time.
var keys = sync.OnceValues(func() ([]*rsa.PrivateKey, error) {
	var list []*rsa.PrivateKey
	for range 3 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
})

func key(t testing.TB, n int) *rsa.PrivateKey {
	t.Helper()
	list, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	return list[n]
}

// made is a certificate with its key.
type made struct {
	*x509.Certificate

	key *rsa.PrivateKey
}

// certificate makes one that an issuer signs, or itself. edit may be nil.
func certificate(t testing.TB, name string, key *rsa.PrivateKey, issuer *made, edit func(*x509.Certificate)) *made {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{{Scheme: "urn", Opaque: "test:" + name}}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(c)
	}
	parent, signer := c, key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &made{parsed, key}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	c.URIs, c.IPAddresses, c.ExtKeyUsage = nil, nil, nil
}

func revoke(t testing.TB, by *made, serials ...*big.Int) *x509.RevocationList {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now()})
	}
	raw, err := x509.CreateRevocationList(rand.Reader, list, by.Certificate, by.key)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = x509.ParseRevocationList(raw); err != nil {
		t.Fatal(err)
	}
	return list
}

// Which servers are trusted, and which certificates are those of the wanted one.
func TestTrusts(t *testing.T) {
	ca := certificate(t, "ca", key(t, 0), nil, authority)
	between := certificate(t, "between", key(t, 1), ca, authority)
	server := certificate(t, "server", key(t, 2), ca, nil)
	deep := certificate(t, "deep", key(t, 2), between, nil)
	self := certificate(t, "self", key(t, 2), nil, nil)
	stranger := certificate(t, "server", key(t, 1), nil, nil)
	old := certificate(t, "old", key(t, 2), ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	type certificates = []*x509.Certificate
	by := func(c ...*made) (list certificates) {
		for _, m := range c {
			list = append(list, m.Certificate)
		}
		return list
	}
	for _, c := range []struct {
		name        string
		p           pki
		sent        []byte
		application string
		url         string
		err         string
	}{
		{"signed by who is trusted, at its host", pki{trusted: by(ca)}, server.Raw, "", "opc.tcp://127.0.0.1:4840", ""},
		{"and with its application URI", pki{trusted: by(ca)}, server.Raw, "urn:test:server", "opc.tcp://elsewhere", ""},
		{"another application", pki{trusted: by(ca)}, server.Raw, "urn:test:other", "opc.tcp://127.0.0.1", `is that of "urn:test:server", and the server was found as "urn:test:other"`},
		{"another host", pki{trusted: by(ca)}, server.Raw, "", "opc.tcp://10.0.0.1", `set OPCUA_APPLICATION_URI to "urn:test:server"`},
		{"itself is trusted, wherever it is", pki{trusted: by(self)}, self.Raw, "", "opc.tcp://10.0.0.1", ""},
		{"but not as another one", pki{trusted: by(self)}, self.Raw, "urn:test:other", "opc.tcp://127.0.0.1", "was found as"},
		{"a chain that the server sends", pki{trusted: by(ca)}, slices.Concat(deep.Raw, between.Raw), "urn:test:deep", "", ""},
		{"a chain that is mounted", pki{trusted: by(ca), issuers: by(between)}, deep.Raw, "urn:test:deep", "", ""},
		{"a chain with a gap", pki{trusted: by(ca)}, deep.Raw, "urn:test:deep", "", "is not trusted"},
		{"a stranger of the same name", pki{trusted: by(ca, self)}, stranger.Raw, "urn:test:server", "", "is not trusted"},
		{"who is trusted must not be the stranger's issuer", pki{trusted: by(server)}, stranger.Raw, "", "opc.tcp://127.0.0.1", "is not trusted"},
		{"expired", pki{trusted: by(ca)}, old.Raw, "", "opc.tcp://127.0.0.1", "expired"},
		{"revoked", pki{trusted: by(ca), revoked: []*x509.RevocationList{revoke(t, ca, server.SerialNumber)}}, server.Raw, "", "opc.tcp://127.0.0.1", "is revoked"},
		{"another one is", pki{trusted: by(ca), revoked: []*x509.RevocationList{revoke(t, ca, deep.SerialNumber)}}, server.Raw, "", "opc.tcp://127.0.0.1", ""},
		{"its number in another's list", pki{trusted: by(ca), revoked: []*x509.RevocationList{revoke(t, between, server.SerialNumber)}}, server.Raw, "", "opc.tcp://127.0.0.1", ""},
		{"its issuer is revoked", pki{trusted: by(ca), issuers: by(between), revoked: []*x509.RevocationList{revoke(t, ca, between.SerialNumber)}}, deep.Raw, "urn:test:deep", "", "is revoked"},
		{"nothing", pki{trusted: by(ca)}, nil, "", "", "cannot be read: there is none"},
		{"something else", pki{trusted: by(ca)}, []byte("x"), "", "", "cannot be read"},
	} {
		leaf, err := c.p.trusts(c.sent, c.application, c.url, time.Now())
		switch {
		case (err == nil) != (c.err == ""), err != nil && !strings.Contains(err.Error(), c.err):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		case err == nil && !bytes.HasPrefix(c.sent, leaf.Raw):
			t.Errorf("%s: another certificate is returned", c.name)
		}
	}
}

// Keys that OPC UA's policies do not have.
func TestTrustsNoOtherKeys(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(pki).trusts(raw, "", "", time.Now()); err == nil || !strings.Contains(err.Error(), "no RSA key") {
		t.Error(err)
	}
}

// mount writes files below a folder, and returns it.
func mount(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadPKI(t *testing.T) {
	ca := certificate(t, "ca", key(t, 0), nil, authority)
	own := certificate(t, "broker", key(t, 1), ca, nil)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own.key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}) }
	const cert, private, trusted, crl = "own/certs/AkriBroker.der", "own/private/AkriBroker.pfx", "trusted/certs/SomeCA.der", "trusted/crl/SomeCA.crl"
	type files = map[string][]byte
	list := revoke(t, ca).Raw
	for _, c := range []struct {
		name     string
		files    files
		password string
		err      string
	}{
		{"as upstream's chart mounts it", files{cert: testdata(t, "certificate.der"), private: testdata(t, "legacy.pfx"), trusted: ca.Raw, crl: list}, "", ""},
		{"with a password", files{cert: testdata(t, "certificate.der"), private: testdata(t, "password.pfx"), trusted: ca.Raw}, "secret", ""},
		{"PEM", files{cert: block("CERTIFICATE", own.Raw), private: block("PRIVATE KEY", pkcs8), trusted: block("CERTIFICATE", ca.Raw), crl: block("X509 CRL", list)}, "", ""},
		{"PKCS #1", files{cert: own.Raw, private: block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(own.key)), trusted: ca.Raw}, "", ""},
		{"DER", files{cert: own.Raw, private: pkcs8, trusted: ca.Raw}, "", ""},
		{"a wrong password", files{cert: testdata(t, "certificate.der"), private: testdata(t, "password.pfx"), trusted: ca.Raw}, "", "AkriBroker.pfx: pkcs12: decryption password incorrect"},
		{"newer than what is read", files{cert: testdata(t, "certificate.der"), private: testdata(t, "modern.pfx"), trusted: ca.Raw}, "", `make it with "openssl pkcs12 -export -legacy", or mount the key as PEM`},
		{"another key", files{cert: own.Raw, private: testdata(t, "legacy.pfx"), trusted: ca.Raw}, "", "is not that of the certificate"},
		{"no certificate", files{private: pkcs8, trusted: ca.Raw}, "", "own/certs: no such file"},
		{"an empty folder", files{"own/certs/.keep": nil, private: pkcs8}, "", "read the broker's certificate in"},
		{"no key", files{cert: own.Raw, trusted: ca.Raw}, "", "read the broker's key in"},
		{"nobody is trusted", files{cert: own.Raw, private: pkcs8}, "", "no server can be trusted"},
		{"a certificate that is none", files{cert: []byte("x"), private: pkcs8, trusted: ca.Raw}, "", "AkriBroker.der: "},
		{"a list that is none", files{cert: own.Raw, private: pkcs8, trusted: ca.Raw, crl: []byte("x")}, "", "trusted/crl: SomeCA.crl: "},
	} {
		p, err := readPKI(mount(t, c.files), c.password)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		if err == nil && (len(p.trusted) != 1 || len(p.revoked) != min(1, len(c.files[crl]))) {
			t.Errorf("%s: %d trusted, %d lists", c.name, len(p.trusted), len(p.revoked))
		}
	}
	if p, err := readPKI(filepath.Join(t.TempDir(), "none"), ""); p != nil || err != nil {
		t.Errorf("without a folder: %v, %v", p, err)
	}
}
