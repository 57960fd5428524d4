package trust_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust/trusttest"
)

// clock is the time of keepers.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newKeeper(t testing.TB, m *trusttest.Memory, c *clock) *trust.Keeper {
	t.Helper()
	k := trust.New(m, m, slog.New(slog.DiscardHandler))
	k.SetClock(c.Now)
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

func start(t testing.TB) (*trust.Keeper, *trusttest.Memory, *clock) {
	t.Helper()
	m, c := &trusttest.Memory{}, &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)}
	return newKeeper(t, m, c), m, c
}

// csr makes a request; change may be nil.
func csr(t testing.TB, commonName string, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func node(t testing.TB, name string) []byte { return csr(t, "system:node:"+name, nil) }

func token(t testing.TB, k *trust.Keeper, node string, life time.Duration) (string, trust.Token) {
	t.Helper()
	text, of, err := k.CreateToken(t.Context(), node, life)
	if err != nil {
		t.Fatal(err)
	}
	return text, of
}

func mustJoin(t testing.TB, k *trust.Keeper, name, token string) *x509.Certificate {
	t.Helper()
	c, err := k.Join(t.Context(), node(t, name), token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused checks that there is no certificate, for that reason.
func refused(t testing.TB, what string, c *x509.Certificate, err error, want string) {
	t.Helper()
	var r *trust.RefusedError
	if c != nil || !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, %v, want %q", what, c != nil, err, want)
	}
}

// good says whether the hub would let a certificate in.
func good(t testing.TB, k *trust.Keeper, c *x509.Certificate, now time.Time) error {
	t.Helper()
	config, err := k.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: config.ClientCAs, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return err
	}
	if k.Revoked(strings.TrimPrefix(c.Subject.CommonName, "system:node:"), c) {
		return errors.New("revoked")
	}
	return nil
}

// Of a request, only key and name count.
func TestCertificate(t *testing.T) {
	k, _, c := start(t)
	text, _ := token(t, k, "edge-1", 0)
	request := csr(t, "system:node:edge-1", func(r *x509.CertificateRequest) {
		r.Subject.Organization = []string{"system:masters"}
		r.DNSNames = []string{"cloudcore"}
	})
	cert, err := k.Join(t.Context(), request, text)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.String() != "CN=system:node:edge-1,O=system:nodes" || len(cert.DNSNames) > 0 || cert.IsCA ||
		!slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || cert.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("%+v", cert)
	}
	if life := cert.NotAfter.Sub(c.Now()); life > trust.NodeLifetime || life < trust.NodeLifetime-time.Minute {
		t.Errorf("it is good for %s", life)
	}
	if err := good(t, k, cert, c.Now()); err != nil {
		t.Error(err)
	}
	if err := good(t, k, cert, c.Now().Add(-30*time.Minute)); err != nil {
		t.Errorf("for a clock that is behind: %v", err)
	}
}

func TestRequestsRefused(t *testing.T) {
	k, _, _ := start(t)
	text, _ := token(t, k, "", 0)
	signedByOther := func() []byte {
		b, _ := pem.Decode(node(t, "x"))
		b.Bytes[len(b.Bytes)-1] ^= 1
		return pem.EncodeToMemory(b)
	}
	withRSA := func() []byte {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:x"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	for name, tt := range map[string]struct {
		csr  []byte
		want string
	}{
		"nothing":         {nil, "PEM"},
		"no request":      {[]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "PEM"},
		"noise":           {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}), "cannot be read"},
		"another's key":   {signedByOther(), "not signed with its own key"},
		"RSA":             {withRSA(), "the key must be"},
		"an admin":        {csr(t, "kubernetes-admin", nil), "common name"},
		"no name":         {node(t, ""), "not a node's name"},
		"no DNS name":     {node(t, "Edge_1"), "not a node's name"},
		"a path":          {node(t, "../x"), "not a node's name"},
		"a name too long": {node(t, strings.Repeat("x", 254)), "not a node's name"},
	} {
		c, err := k.Join(t.Context(), tt.csr, text)
		refused(t, name, c, err, tt.want)
	}
	if all, err := k.Tokens(t.Context()); err != nil || len(all) != 1 || !all[0].Used.IsZero() {
		t.Errorf("the token was used: %+v, %v", all, err)
	}
}

// A token is for the node that it names, or for the first new one.
func TestTokens(t *testing.T) {
	k, m, c := start(t)
	m.Add("control-plane", false)
	m.Add("edge-9", true)
	named, of := token(t, k, "edge-1", time.Hour)
	open, _ := token(t, k, "", time.Hour)
	other, _ := token(t, k, "", time.Hour)
	forPlane, _ := token(t, k, "control-plane", time.Hour)
	forNine, _ := token(t, k, "edge-9", time.Hour)
	if of.Node != "edge-1" || of.Expires.Sub(of.Created) != time.Hour || strings.Count(named, ".") != 3 {
		t.Errorf("%+v %s", of, named)
	}
	join := func(name, token string) (*x509.Certificate, error) { return k.Join(t.Context(), node(t, name), token) }
	try := func(what, name, token, want string) {
		t.Helper()
		cert, err := join(name, token)
		refused(t, what, cert, err, want)
	}
	try("another node", "edge-2", named, `for node "edge-1"`)
	try("a name that somebody has a token for", "edge-1", open, "already")
	mustJoin(t, k, "edge-1", named)
	mustJoin(t, k, "edge-1", named) // its answer was lost
	try("a node that there is", "edge-9", open, "keadm gettoken --edgenode-name edge-9")
	mustJoin(t, k, "edge-9", forNine)
	try("a node of the cluster", "control-plane", open, "node of the cluster itself")
	try("a node of the cluster, named", "control-plane", forPlane, "node of the cluster itself")
	mustJoin(t, k, "edge-3", open)
	mustJoin(t, k, "edge-3", open)
	try("a second node", "edge-4", open, `for node "edge-3"`)
	try("the name of one that has just joined", "edge-3", other, "already")

	all, err := k.Tokens(t.Context())
	if err != nil || len(all) != 5 {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := k.DeleteToken(t.Context(), of.ID); err != nil {
		t.Error(err)
	}
	if err := k.DeleteToken(t.Context(), of.ID); err == nil {
		t.Error("it is deleted twice")
	}
	try("a token that was deleted", "edge-1", named, "does not exist any more")
	c.add(time.Hour)
	try("a token that has expired", "edge-5", other, "expired")
	if all, err := k.Tokens(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("expired tokens: %+v, %v", all, err)
	}
	for name, life := range map[string]time.Duration{"too short": time.Second, "too long": 31 * 24 * time.Hour, "past": -time.Hour} {
		if _, _, err := k.CreateToken(t.Context(), "", life); err == nil {
			t.Errorf("%s is possible", name)
		}
	}
	if _, _, err := k.CreateToken(t.Context(), "No Name", 0); err == nil {
		t.Error("for no node's name")
	}
}

// What is not signed by this cloudcore is refused without a look at the Store.
func TestForgedTokens(t *testing.T) {
	k, m, _ := start(t)
	mine, _ := token(t, k, "edge-1", 0)
	theirs, _ := token(t, func() *trust.Keeper { k, _, _ := start(t); return k }(), "edge-1", 0)
	parts := strings.Split(mine, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0" // {"alg":"none","typ":"JWT"}
	m.Before = func() { t.Error("the Store is written") }
	for name, token := range map[string]string{
		"none":               "",
		"of another":         theirs,
		"noise":              "a.b.c.d",
		"no signature":       strings.Join(parts[1:3], ".") + ".",
		"another algorithm":  none + "." + parts[2] + "." + parts[3],
		"no algorithm":       none + "." + parts[2] + ".",
		"another claim":      parts[1] + "." + parts[1] + "." + parts[3],
		"more parts":         mine + ".x",
		"long":               strings.Repeat("x", 1<<20),
		"signature extended": mine + "A",
	} {
		c, err := k.Join(t.Context(), node(t, "edge-1"), token)
		refused(t, name, c, err, "not one of this cloudcore")
	}
}

// A reset ends what a node has, and it can join again, even in the same second.
func TestReset(t *testing.T) {
	k, m, c := start(t)
	text, _ := token(t, k, "edge-1", 0)
	first := mustJoin(t, k, "edge-1", text)
	if err := k.Reset(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	if err := good(t, k, first, c.Now()); err == nil || err.Error() != "revoked" {
		t.Errorf("after a reset: %v", err)
	}
	cert, err := k.Renew(t.Context(), node(t, "edge-1"), first)
	refused(t, "renewal", cert, err, "was reset")
	cert, err = k.Join(t.Context(), node(t, "edge-1"), text)
	refused(t, "with the token of before", cert, err, "does not exist any more")
	text, _ = token(t, k, "edge-1", 0)
	second := mustJoin(t, k, "edge-1", text)
	for _, at := range []time.Duration{0, time.Hour, 300 * 24 * time.Hour} {
		c.add(at)
		if err := k.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := good(t, k, second, c.Now()); err != nil {
			t.Errorf("joined again, after %s: %v", at, err)
		}
		if err := good(t, k, first, c.Now()); err == nil {
			t.Errorf("the first certificate is good again after %s", at)
		}
	}
	// Another replica knows when it looks.
	other := newKeeper(t, m, c)
	if err := k.Reset(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	if other.Revoked("edge-1", second) {
		t.Error("it cannot know yet")
	}
	if cert, err := other.Renew(t.Context(), node(t, "edge-1"), second); err == nil {
		t.Errorf("a replica renews what another has reset: %v", cert.NotAfter)
	}
	if !other.Revoked("edge-1", second) {
		t.Error("it does not know")
	}
	c.add(trust.NodeLifetime + 2*time.Hour)
	if all, err := k.Resets(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("a reset is kept for longer than what it is about: %v, %v", all, err)
	}
}

func TestRenew(t *testing.T) {
	k, _, c := start(t)
	text, _ := token(t, k, "edge-1", 0)
	first := mustJoin(t, k, "edge-1", text)
	c.add(200 * 24 * time.Hour)
	second, err := k.Renew(t.Context(), node(t, "edge-1"), first)
	if err != nil || !second.NotAfter.After(first.NotAfter) || good(t, k, second, c.Now()) != nil {
		t.Errorf("%v", err)
	}
	cert, err := k.Renew(t.Context(), node(t, "edge-2"), first)
	refused(t, "for another node", cert, err, "cannot be renewed for node")
	cert, err = k.Renew(t.Context(), csr(t, "cloudcore", nil), first)
	refused(t, "for cloudcore", cert, err, "common name")
}

// Of many nodes that use one token at two replicas at once, one gets in.
func TestOneUse(t *testing.T) {
	a, m, c := start(t)
	b := newKeeper(t, m, c)
	text, _ := token(t, a, "", 0)
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for i := range 6 {
		request := node(t, fmt.Sprintf("edge-%d", i))
		wg.Go(func() {
			_, err := []*trust.Keeper{a, b}[i%2].Join(context.Background(), request, text)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				in++
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("%d nodes joined", in)
	}
}

// Data that cannot be read stops everything, and says which.
func TestDamaged(t *testing.T) {
	k, m, c := start(t)
	text, _ := token(t, k, "edge-1", 0)
	cert := mustJoin(t, k, "edge-1", text)
	m.Put("resets.json", []byte("{"))
	if err := k.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "resets.json") {
		t.Errorf("%v", err)
	}
	if err := good(t, k, cert, c.Now()); err != nil {
		t.Errorf("what was read before does not count: %v", err)
	}
	if k := trust.New(m, m, slog.New(slog.DiscardHandler)); !k.Revoked("edge-1", cert) {
		t.Error("a keeper that has read nothing lets nodes in")
	}
}

// For 25 years nodes that renew in time believe cloudcore, and it them. They
// learn of authorities only when they renew.
func TestAuthoritiesChange(t *testing.T) {
	k, _, c := start(t)
	text, _ := token(t, k, "edge-1", 0)
	cert := mustJoin(t, k, "edge-1", text)
	bundle := func() *x509.CertPool {
		b, err := k.Bundle()
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(b)
		return pool
	}
	known, renewed := bundle(), c.Now()
	authorities := map[string]bool{}
	for end := c.Now().AddDate(25, 0, 0); c.Now().Before(end); c.add(14 * 24 * time.Hour) {
		if err := k.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		config, err := k.ServerTLS()
		if err != nil {
			t.Fatal(err)
		}
		leaf := config.Certificates[0].Leaf
		authorities[leaf.Issuer.CommonName] = true
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "cloudcore", Roots: known, CurrentTime: c.Now()}); err != nil {
			t.Fatalf("%s: the node does not believe cloudcore: %v", c.Now().Format(time.DateOnly), err)
		}
		if err := good(t, k, cert, c.Now()); err != nil {
			t.Fatalf("%s: cloudcore does not believe the node: %v", c.Now().Format(time.DateOnly), err)
		}
		if c.Now().Sub(renewed) > trust.NodeLifetime*9/10 {
			if cert, err = k.Renew(t.Context(), node(t, "edge-1"), cert); err != nil {
				t.Fatal(err)
			}
			known, renewed = bundle(), c.Now()
		}
	}
	if len(authorities) < 3 {
		t.Errorf("the authority was never changed: %v", authorities)
	}
}

func FuzzJoin(f *testing.F) {
	k, _, _ := start(f)
	text, _ := token(f, k, "", 0)
	request := node(f, "edge-1")
	f.Add(request, text)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n"), text)
	f.Add(request, "..")
	f.Fuzz(func(t *testing.T, request []byte, token string) {
		c, err := k.Join(t.Context(), request, token)
		var r *trust.RefusedError
		if err != nil && !errors.As(err, &r) {
			t.Fatal(err)
		}
		if err == nil && !strings.HasPrefix(c.Subject.CommonName, "system:node:") {
			t.Fatalf("a certificate for %s", c.Subject)
		}
	})
}
