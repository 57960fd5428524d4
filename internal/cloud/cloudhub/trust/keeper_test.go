package trust_test

import (
	"context"
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
)

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
