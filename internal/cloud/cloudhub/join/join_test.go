package join

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust/trusttest"
	"github.com/akri-go/akri/internal/leaktest"
)

type fixture struct {
	*Server
	url     string
	metrics *prometheus.Registry
}

func start(t *testing.T) *fixture {
	t.Helper()
	leaktest.Check(t)
	m := &trusttest.Memory{}
	k := trust.New(m, m, slog.New(slog.DiscardHandler))
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	s, err := New(Options{Keeper: k, Registerer: metrics, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &fixture{s, "https://" + l.Addr().String(), metrics}
}

// ask makes a request; certificate and token may be empty.
func (f *fixture) ask(t *testing.T, method, path string, body []byte, token string, certificate *tls.Certificate) (int, string) {
	t.Helper()
	bundle, err := f.Keeper.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{ServerName: "cloudcore", RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(bundle)
	if certificate != nil {
		// Whether the server wants it or not.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	r, err := http.NewRequestWithContext(t.Context(), method, f.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func request(t *testing.T, commonName string) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestServer(t *testing.T) {
	f := start(t)
	token, _, err := f.Keeper.CreateToken(t.Context(), "edge-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	jwt := token[strings.Index(token, ".")+1:]
	if code, text := f.ask(t, "GET", "/ca.crt", nil, "", nil); code != 200 || !strings.HasPrefix(text, "-----BEGIN CERTIFICATE") || strings.Contains(text, "KEY") {
		t.Errorf("ca.crt: %d %s", code, text)
	}
	key, csr := request(t, "system:node:edge-1")
	code, text := f.ask(t, "POST", "/edge.crt", csr, jwt, nil)
	var a Answer
	if err := json.Unmarshal([]byte(text), &a); code != 200 || err != nil {
		t.Fatalf("%d %s", code, text)
	}
	b, _ := pem.Decode([]byte(a.Certificate))
	has := &tls.Certificate{Certificate: [][]byte{b.Bytes}, PrivateKey: key}
	stranger := func() *tls.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{Subject: pkix.Name{CommonName: "system:node:edge-1"}, SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)},
			&x509.Certificate{Subject: pkix.Name{CommonName: "system:node:edge-1"}}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}()
	_, renewal := request(t, "system:node:edge-1")
	_, other := request(t, "system:node:edge-2")
	for _, tt := range []struct {
		name, method, path string
		body               []byte
		token              string
		certificate        *tls.Certificate
		code               int
		want               string
	}{
		{"a renewal", "POST", "/edge.crt", renewal, "", has, 200, "certificate"},
		{"a renewal for another node", "POST", "/edge.crt", other, "", has, 403, "cannot be renewed"},
		{"another's certificate", "POST", "/edge.crt", renewal, "", stranger, 0, "tls:"},
		{"neither token nor certificate", "POST", "/edge.crt", renewal, "", nil, 403, "is needed"},
		{"a wrong token", "POST", "/edge.crt", renewal, "x.y.z", nil, 403, "keadm gettoken"},
		{"a wrong token beside a certificate", "POST", "/edge.crt", renewal, "x.y.z", has, 403, "keadm gettoken"},
		{"the token of another node", "POST", "/edge.crt", other, jwt, nil, 403, `for node "edge-1"`},
		{"too long", "POST", "/edge.crt", bytes.Repeat([]byte("x"), maxBodyBytes+1), jwt, nil, 400, "too long"},
		{"another method", "GET", "/edge.crt", nil, jwt, nil, 405, ""},
		{"another path", "GET", "/node/edge-1", nil, jwt, has, 404, ""},
	} {
		code, text := f.ask(t, tt.method, tt.path, tt.body, tt.token, tt.certificate)
		if code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %d %s", tt.name, code, text)
		}
	}
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		counted[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	want := map[string]float64{"token signed": 1, "token refused": 3, "certificate signed": 1, "certificate refused": 1, "nothing refused": 1}
	if !maps.Equal(counted, want) {
		t.Errorf("%v are counted, want %v", counted, want)
	}
}
