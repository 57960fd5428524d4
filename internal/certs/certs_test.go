package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	hosts = []string{"hook.edge.svc", "127.0.0.1"}
	// policy is that of the admission webhook.
	policy = Policy{Name: "test", Authority: 2 * 365 * 24 * time.Hour, Leaf: 90 * 24 * time.Hour, Settle: 24 * time.Hour}
)

func plan(t *testing.T, now time.Time, data map[string][]byte) (map[string][]byte, bool) {
	t.Helper()
	out, changed, err := policy.Plan(now, data, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return out, changed
}

func leafOf(t *testing.T, data map[string][]byte) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(data[Leaf], data[LeafKey])
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// trusts tells whether a client that knows the bundle accepts the server.
func trusts(t *testing.T, bundle []byte, server map[string][]byte, now time.Time) error {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		t.Fatal("no certificate in the bundle")
	}
	leaf := leafOf(t, server)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now})
	for _, h := range hosts {
		err = errors.Join(err, leaf.VerifyHostname(h))
	}
	return err
}

func TestNothingYet(t *testing.T) {
	for name, data := range map[string]map[string][]byte{
		"nil":     nil,
		"rubbish": {Bundle: []byte("x"), CAKeys: []byte("-----BEGIN"), Leaf: {0}, LeafKey: nil},
		"huge":    {Bundle: bytes.Repeat([]byte("x"), maxPEMBytes+1)},
	} {
		got, changed := plan(t, start, data)
		if !changed {
			t.Errorf("%s: nothing changed", name)
		}
		if err := trusts(t, got[Bundle], got, start); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again, changed := plan(t, start.Add(time.Minute), got); changed {
			t.Errorf("%s: a minute later it is made again: %v", name, maps.Keys(again))
		}
	}
}

// Five years in steps of twelve hours: clients that learn of a bundle a day
// late accept the server at all times.
func TestFiveYears(t *testing.T) {
	const step = 12 * time.Hour
	data, _ := plan(t, start, nil)
	known := [][]byte{data[Bundle], data[Bundle], data[Bundle]} // now, and one and two steps ago
	leaves, bundles := 1, 1
	for now := start; now.Before(start.AddDate(5, 0, 0)); now = now.Add(step) {
		next, _ := plan(t, now, data)
		if !bytes.Equal(next[Leaf], data[Leaf]) {
			leaves++
		}
		if !bytes.Equal(next[Bundle], data[Bundle]) {
			bundles++
		}
		data = next
		known = append(known[1:], data[Bundle])
		for age, bundle := range known {
			if age > 0 && bytes.Equal(bundle, known[age-1]) {
				continue // these clients know the same
			}
			if err := trusts(t, bundle, data, now); err != nil {
				t.Fatalf("%s: a client of %d steps ago: %v", now.Format(time.DateOnly), len(known)-1-age, err)
			}
		}
		if n := len(pemBlocks(data[Bundle], pemCert)); n > 2 {
			t.Fatalf("%s: %d authorities", now.Format(time.DateOnly), n)
		}
		if l := leafOf(t, data).NotAfter.Sub(now); l < policy.Leaf/3-step {
			t.Fatalf("%s: the leaf has only %s left", now.Format(time.DateOnly), l)
		}
	}
	if leaves < 25 || leaves > 40 {
		t.Errorf("%d leaves in five years", leaves)
	}
	if bundles < 4 || bundles > 8 {
		t.Errorf("%d bundles in five years", bundles)
	}
}

func TestMadeAnew(t *testing.T) {
	good, _ := plan(t, start, nil)
	other, _ := plan(t, start, nil)
	with := func(from map[string][]byte, keys ...string) map[string][]byte {
		out := maps.Clone(good)
		for _, k := range keys {
			out[k] = from[k]
		}
		return out
	}
	for name, tt := range map[string]struct {
		data  map[string][]byte
		after time.Duration
	}{
		"another's key":           {with(other, LeafKey), 0},
		"another's leaf":          {with(other, Leaf, LeafKey), 0},
		"another's authority":     {with(other, Bundle, CAKeys), 0},
		"authority without key":   {with(nil, CAKeys), 0},
		"no leaf":                 {with(nil, Leaf, LeafKey), 0},
		"all is over":             {good, 10 * policy.Authority},
		"clock was in the future": {good, -365 * 24 * time.Hour},
	} {
		now := start.Add(tt.after)
		got, changed := plan(t, now, tt.data)
		if !changed {
			t.Errorf("%s: not seen", name)
			continue
		}
		if err := trusts(t, got[Bundle], got, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, changed := plan(t, now, got); changed {
			t.Errorf("%s: not settled after one change", name)
		}
	}
	// A server of another name.
	got, changed, err := policy.Plan(start, good, []string{"hook.factory.svc"})
	if err != nil || !changed || leafOf(t, got).VerifyHostname("hook.factory.svc") != nil {
		t.Errorf("another name: %v, changed %v", err, changed)
	}
	if !bytes.Equal(got[Bundle], good[Bundle]) {
		t.Error("another name: another authority")
	}
}

// What the authority signs for others is trusted as long as the bundle is.
func TestSign(t *testing.T) {
	if _, err := policy.Signer(start, nil); err == nil {
		t.Error("nothing signs")
	}
	data, _ := plan(t, start, nil)
	a, err := policy.Signer(start, data)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Sign(&x509.Certificate{Subject: pkix.Name{CommonName: "x"}, NotBefore: start, NotAfter: start.Add(100 * policy.Authority),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key.Public())
	if err != nil || !c.NotAfter.Equal(a.Cert.NotAfter) {
		t.Fatalf("%v, %v", c, err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data[Bundle])
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: start, KeyUsages: c.ExtKeyUsage}); err != nil {
		t.Error(err)
	}
}

func FuzzPlan(f *testing.F) {
	good, _, err := policy.Plan(start, nil, hosts)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[Bundle], good[CAKeys], good[Leaf], good[LeafKey])
	f.Add([]byte(nil), []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), []byte("x"), pem.EncodeToMemory(&pem.Block{Type: pemCert}))
	f.Fuzz(func(t *testing.T, ca, caKey, leaf, key []byte) {
		got, _, err := policy.Plan(start, map[string][]byte{Bundle: ca, CAKeys: caKey, Leaf: leaf, LeafKey: key}, hosts)
		if err != nil {
			t.Fatal(err)
		}
		if err := trusts(t, got[Bundle], got, start); err != nil {
			t.Error(err)
		}
	})
}
