package join

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/leaktest"
)

func TestRenewAt(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const life = 1000 * time.Hour
	early, late := life, time.Duration(0)
	for i := range 500 {
		c := &x509.Certificate{Raw: []byte{byte(i), byte(i >> 8)}, NotBefore: from, NotAfter: from.Add(life)}
		at := renewAt(c)
		if !renewAt(c).Equal(at) || due(at.Add(-time.Second), c) || !due(at, c) {
			t.Fatalf("%d: not at %s", i, at)
		}
		early, late = min(early, at.Sub(from)), max(late, at.Sub(from))
	}
	if early < 700*time.Hour || early > 710*time.Hour || late > 900*time.Hour || late < 890*time.Hour {
		t.Errorf("from %s to %s", early, late)
	}
}

// cloud pretends to be cloudcore's join server, as far as it is asked; the real
// one is in test/edgelink.
type cloud struct {
	*httptest.Server
	data map[string][]byte

	mu     sync.Mutex
	asked  []string // path and authorization
	life   time.Duration
	answer func(w http.ResponseWriter, r *http.Request) bool // instead
	change func(*x509.Certificate)
}

var policy = certs.Policy{Name: "cloudcore", Authority: 2000 * time.Hour, Leaf: 1000 * time.Hour}

func startCloud(t *testing.T) *cloud {
	t.Helper()
	data, _, err := policy.Plan(time.Now().Add(-200*time.Hour), nil, []string{edgev1.ServerName})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(data[certs.Leaf], data[certs.LeafKey])
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{data: data, life: time.Hour}
	c.Server = httptest.NewUnstartedServer(c)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data[certs.Bundle])
	c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) token() string {
	b, _ := pem.Decode(c.data[certs.Bundle])
	sum := sha256.Sum256(b.Bytes)
	return hex.EncodeToString(sum[:]) + ".a.b.c"
}

func (c *cloud) options(t *testing.T) Options {
	return Options{Address: c.Listener.Addr().String(), Node: "edge-1", Dir: filepath.Join(t.TempDir(), "certs"), Log: slog.New(slog.DiscardHandler)}
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	with := r.Header.Get("Authorization")
	if len(r.TLS.PeerCertificates) > 0 {
		with += r.TLS.PeerCertificates[0].Subject.CommonName
	}
	c.asked = append(c.asked, r.URL.Path+" "+with)
	switch {
	case c.answer != nil && c.answer(w, r):
	case r.URL.Path == "/ca.crt":
		_, _ = w.Write(c.data[certs.Bundle])
	default:
		c.sign(w, r)
	}
}

func (c *cloud) sign(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	b, _ := pem.Decode(text)
	if err != nil || b == nil {
		http.Error(w, "no request", http.StatusBadRequest)
		return
	}
	csr, err := x509.ParseCertificateRequest(b.Bytes)
	a, err2 := policy.Signer(time.Now(), c.data)
	if err := errors.Join(err, err2); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	template := &x509.Certificate{Subject: csr.Subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(c.life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if c.change != nil {
		c.change(template)
	}
	cert, err := a.Sign(template, csr.PublicKey)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"certificate": string(certs.CertPEM(cert)), "authorities": string(c.data[certs.Bundle]), "kubernetes": "v1.37.1"})
}

func TestJoinAndRenew(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t)
	o := c.options(t)
	if _, err := Load(o.Dir); !errors.Is(err, ErrNone) {
		t.Errorf("before: %v", err)
	}
	if kubernetes, err := Join(t.Context(), o, c.token()+"\n"); err != nil || kubernetes != "v1.37.1" {
		t.Fatalf("%q, %v", kubernetes, err)
	}
	first, err := Load(o.Dir)
	if err != nil || first.Node != "edge-1" {
		t.Fatalf("%+v, %v", first, err)
	}
	if info, err := os.Stat(filepath.Join(o.Dir, CertificateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the key: %v, %v", info, err)
	}
	if err := Renew(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	second, err := Load(o.Dir)
	if err != nil || bytes.Equal(second.Certificate.Certificate[0], first.Certificate.Certificate[0]) {
		t.Errorf("not renewed: %v", err)
	}
	if second.Certificate.PrivateKey.(*ecdsa.PrivateKey).Equal(first.Certificate.PrivateKey) {
		t.Error("it is the same key")
	}
	want := "/ca.crt |/edge.crt Bearer a.b.c|/edge.crt system:node:edge-1"
	if got := strings.Join(c.asked, "|"); got != want {
		t.Errorf("it asks %s, want %s", got, want)
	}
	config, err := TLS(o.Dir)()
	if err != nil || config.ServerName != edgev1.ServerName || config.MinVersion != tls.VersionTLS13 {
		t.Errorf("%+v, %v", config, err)
	}
}

// What goes wrong leaves what there is, and says what to do.
func TestRefused(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t)
	o := c.options(t)
	if _, err := Join(t.Context(), o, c.token()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(o.Dir, CertificateFile))
	if err != nil {
		t.Fatal(err)
	}
	other := startCloud(t)
	says := func(code int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/ca.crt" {
				return false
			}
			w.Header().Set("Location", other.URL+r.URL.Path)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
			return true
		}
	}
	for name, tt := range map[string]struct {
		token  string
		answer func(http.ResponseWriter, *http.Request) bool
		change func(*x509.Certificate)
		want   string
	}{
		"no token":             {token: "abc", want: "not a join token"},
		"half a token":         {token: strings.Repeat("0", 64), want: "not a join token"},
		"of another cloudcore": {token: other.token(), want: "not the cloudcore that the token is of"},
		"refused":              {answer: says(403, "the join token has expired"), want: "cloudcore refuses: the join token has expired"},
		"not now":              {answer: says(503, "try again"), want: "503 Service Unavailable: try again"},
		"elsewhere":            {answer: says(307, ""), want: "307"},
		"endless":              {answer: says(200, strings.Repeat("x", maxAnswerBytes+1)), want: "not cloudcore"},
		"noise":                {answer: says(200, "x"), want: "cloudcore's answer"},
		"nothing":              {answer: says(200, "{}"), want: "cloudcore's answer"},
		"another node's certificate": {change: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "system:node:edge-2"} },
			want: `for node "edge-2", not for "edge-1"`},
		"a server's certificate": {change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
			want: "incompatible key usage"},
	} {
		c.mu.Lock()
		c.answer, c.change = tt.answer, tt.change
		c.mu.Unlock()
		token := tt.token
		if token == "" {
			token = c.token()
		}
		if _, err := Join(t.Context(), o, token); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(filepath.Join(o.Dir, CertificateFile)); err != nil || !bytes.Equal(now, before) {
			t.Errorf("%s: the files have changed: %v", name, err)
		}
	}
	if len(other.asked) != 0 {
		t.Errorf("another server was asked %q", other.asked)
	}
}

// cloudcore's port of links answers nobody without a certificate.
func TestPortOfLinks(t *testing.T) {
	leaktest.Check(t)
	links := httptest.NewUnstartedServer(http.NotFoundHandler())
	links.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert}
	links.Config.ErrorLog = log.New(io.Discard, "", 0)
	links.StartTLS()
	defer links.Close()
	o := Options{Address: links.Listener.Addr().String(), Node: "edge-1", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if _, err := Join(t.Context(), o, strings.Repeat("0", 64)+".a.b.c"); err == nil || !strings.Contains(err.Error(), "look whether both ports are right") {
		t.Error(err)
	}
}

// Run renews a certificate that is due, and no other.
func TestRun(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t)
	o := c.options(t)
	c.change = func(c *x509.Certificate) { c.NotBefore = time.Now().Add(-100 * time.Hour) } // more than 90 % is over
	if _, err := Join(t.Context(), o, c.token()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.change = nil
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	renewed := make(chan struct{})
	o.Log = slog.New(slog.NewTextHandler(writer(func(line []byte) {
		if bytes.Contains(line, []byte("renewed")) {
			close(renewed)
		}
	}), nil))
	done := make(chan error)
	go func() { done <- Run(ctx, o) }()
	<-renewed
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	now, err := Load(o.Dir)
	if err != nil || due(time.Now(), now.Certificate.Leaf) || len(c.asked) != 3 {
		t.Errorf("%v, asked %q", err, c.asked)
	}
}

type writer func([]byte)

func (w writer) Write(line []byte) (int, error) {
	w(line)
	return len(line), nil
}

// A folder that is damaged says so.
func TestDamaged(t *testing.T) {
	c := startCloud(t)
	o := c.options(t)
	if _, err := Join(t.Context(), o, c.token()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{CertificateFile, AuthoritiesFile} {
		if err := os.WriteFile(filepath.Join(o.Dir, file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(o.Dir); err == nil || !strings.Contains(err.Error(), "join again to replace them") {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := Join(t.Context(), o, c.token()); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(o.Dir); err != nil {
			t.Error(err)
		}
	}
}
