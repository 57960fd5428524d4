package localca

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// handshake returns what the server knows of a client.
func handshake(t *testing.T, a *Authority, now time.Time, client tls.Certificate) (tls.ConnectionState, error) {
	t.Helper()
	server, err := a.Server("127.0.0.1", "kubernetes.default.svc")
	if err != nil {
		t.Fatal(err)
	}
	config := a.Config(server)
	config.Time = func() time.Time { return now }
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CertPEM)
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	c := tls.Client(two, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{client}, Time: config.Time})
	done := make(chan error, 1)
	go func() { done <- c.HandshakeContext(t.Context()) }()
	s := tls.Server(one, config)
	err = s.HandshakeContext(t.Context())
	if clientErr := <-done; clientErr != nil {
		err = clientErr
	}
	return s.ConnectionState(), err
}

func pair(t *testing.T, a *Authority, user string) tls.Certificate {
	t.Helper()
	cert, key, err := a.Client(user, "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	p, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil || string(again.CertPEM) != string(a.CertPEM) {
		t.Fatalf("another authority: %v", err)
	}
	other, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// Whatever the clock says.
	for _, now := range []time.Time{time.Unix(0, 0), time.Now(), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
		state, err := handshake(t, again, now, pair(t, a, "system:node:edge-1"))
		if err != nil {
			t.Fatalf("at %v: %v", now, err)
		}
		if name, ok := again.User(state); !ok || name != "system:node:edge-1" {
			t.Errorf("at %v it is %q, %v", now, name, ok)
		}
	}
	for name, cert := range map[string]tls.Certificate{"another authority's": pair(t, other, "system:node:edge-1"), "none": {}} {
		state, err := handshake(t, a, time.Now(), cert)
		if err != nil {
			t.Fatal(err)
		}
		if name2, ok := a.User(state); ok {
			t.Errorf("%s: taken as %q", name, name2)
		}
	}
	server, err := a.Server("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := a.User(tls.ConnectionState{PeerCertificates: []*x509.Certificate{server.Leaf}}); ok {
		t.Error("a server's certificate is taken for a client's")
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
}

// A damaged authority is replaced, and kept aside. One that cannot be read stays.
func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, cert, key string)
		fails  bool
	}{
		"no longer there":        {func(t *testing.T, cert, key string) { must(t, os.Remove(cert)) }, false},
		"empty":                  {func(t *testing.T, cert, key string) { must(t, os.Truncate(cert, 0)) }, false},
		"half a key":             {func(t *testing.T, cert, key string) { must(t, os.Truncate(key, 20)) }, false},
		"no key":                 {func(t *testing.T, cert, key string) { must(t, os.Remove(key)) }, false},
		"cannot be read":         {func(t *testing.T, cert, key string) { must(t, os.Remove(cert)); must(t, os.Mkdir(cert, 0o700)) }, true},
		"its key cannot be read": {func(t *testing.T, cert, key string) { must(t, os.Remove(key)); must(t, os.Mkdir(key, 0o700)) }, true},
		"an older one is kept": {func(t *testing.T, cert, key string) {
			must(t, os.WriteFile(cert+".damaged", nil, 0o600))
			must(t, os.Truncate(cert, 5))
		}, false},
		"there is nothing at all": {func(t *testing.T, cert, key string) { must(t, os.Remove(cert)); must(t, os.Remove(key)) }, false},
	} {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
		before, err := Open(dir)
		must(t, err)
		c.change(t, cert, key)
		damaged, _ := os.ReadFile(cert)
		a, err := Open(dir)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if c.fails {
			continue
		}
		again, err := Open(dir)
		must(t, err)
		if string(a.CertPEM) == string(before.CertPEM) || string(a.CertPEM) != string(again.CertPEM) {
			t.Errorf("%s: it is not a new one, or not one that stays", name)
		}
		if again.Replaced || a.Replaced != (damaged != nil) {
			t.Errorf("%s: replaced is %v, and %v the next time", name, a.Replaced, again.Replaced)
		}
		if damaged != nil {
			if kept, err := os.ReadFile(cert + ".damaged"); err != nil || string(kept) != string(damaged) {
				t.Errorf("%s: kept aside is %q, %v", name, kept, err)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriteClient(t *testing.T) {
	a, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubelet.pem")
	write := func(a *Authority, user string) string {
		t.Helper()
		if err := a.WriteClient(file, user, "g"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := write(a, "u")
	if write(a, "u") != first {
		t.Error("a good one is replaced")
	}
	if write(a, "v") == first {
		t.Error("another user has the same")
	}
	other, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	before := write(a, "u")
	if write(other, "u") == before {
		t.Error("another authority's is kept")
	}
}

// The certificate has the names that the server has now.
func TestFollowing(t *testing.T) {
	a, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"127.0.0.1", "kubernetes"}
	config := a.Following(func() []string { return hosts })
	get := func() *tls.Certificate {
		t.Helper()
		cert, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get()
	if get() != first {
		t.Error("another certificate for the same names")
	}
	if first.Leaf.VerifyHostname("kubernetes") != nil || first.Leaf.VerifyHostname("10.96.0.1") == nil {
		t.Errorf("%v, %v", first.Leaf.DNSNames, first.Leaf.IPAddresses)
	}
	hosts = append(hosts, "10.96.0.1")
	if second := get(); second.Leaf.VerifyHostname("10.96.0.1") != nil || second.Leaf.VerifyHostname("127.0.0.1") != nil {
		t.Errorf("%v", second.Leaf.IPAddresses)
	}
	if config.ClientAuth != tls.RequestClientCert || !config.SessionTicketsDisabled || len(config.Certificates) > 0 {
		t.Errorf("%+v", config)
	}
}
