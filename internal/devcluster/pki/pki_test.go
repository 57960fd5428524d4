package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMutualTLS(t *testing.T) {
	made, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := made.Write(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	pair, err := Read(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := ParseAuthority(pair)
	if err != nil {
		t.Fatal(err)
	}
	serverPair, err := ca.Server("server", "127.0.0.1", "some.name")
	if err != nil {
		t.Fatal(err)
	}
	clientPair, err := ca.Client("me", "group-a", "group-b")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.CertPEM)

	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{keyPair(t, serverPair)}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert})
	client := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{keyPair(t, clientPair)}, RootCAs: roots, ServerName: "some.name"})
	done := make(chan error, 1)
	go func() { done <- client.HandshakeContext(t.Context()) }()
	if err := server.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	peer := server.ConnectionState().PeerCertificates[0]
	if peer.Subject.CommonName != "me" || len(peer.Subject.Organization) != 2 {
		t.Errorf("client is %s", peer.Subject)
	}
	if left := time.Until(peer.NotAfter); left < 10*365*24*time.Hour {
		t.Errorf("valid for %s only", left)
	}
	if err := client.ConnectionState().PeerCertificates[0].VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
}

func TestParseAuthorityRefusesNonsense(t *testing.T) {
	good, err := NewAuthority("a")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Pair{
		"empty":    {},
		"not PEM":  {CertPEM: []byte("x"), KeyPEM: good.KeyPEM},
		"swapped":  {CertPEM: good.KeyPEM, KeyPEM: good.CertPEM},
		"cut cert": {CertPEM: bytes.Replace(good.CertPEM, []byte("MII"), []byte("MIA"), 1), KeyPEM: good.KeyPEM},
	} {
		if _, err := ParseAuthority(p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func keyPair(t *testing.T, p Pair) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(p.CertPEM, p.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
