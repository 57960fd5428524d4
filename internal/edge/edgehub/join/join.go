package join

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	requestTimeout = 30 * time.Second
	maxAnswerBytes = 256 << 10
	maxTextBytes   = 300
	// lookInterval is how often Run looks at its clock: after a start without a
	// network that may be wrong.
	lookInterval = time.Hour
	firstRetry   = time.Minute
	maxRetry     = time.Hour
)

// Options say where and who.
type Options struct {
	// Address is the host and port of cloudcore's join server.
	Address string
	// Node is this node's name.
	Node string
	// Dir is the folder of the certificates.
	Dir string
	Log *slog.Logger
}

// RefusedError is what cloudcore said for good: trying again is of no use.
type RefusedError struct{ text string }

func (e *RefusedError) Error() string { return "cloudcore refuses: " + e.text }

// Join gets a certificate with a token, and stores it. It replaces one that the
// node has. It returns the cluster's version of Kubernetes, or "" if cloudcore
// does not tell it.
func Join(ctx context.Context, o Options, token string) (kubernetes string, err error) {
	fingerprint, jwt, ok := strings.Cut(strings.TrimSpace(token), ".")
	want, err := hex.DecodeString(fingerprint)
	if !ok || err != nil || len(want) != sha256.Size {
		return "", errors.New("this is not a join token, as keadm gettoken prints it: " +
			"it has four parts with points between, the first of 64 hexadecimal digits")
	}
	authority, err := o.authority(ctx, [sha256.Size]byte(want))
	if err != nil {
		return "", err
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: edgev1.ServerName}
	return o.certificate(ctx, config, o.Node, jwt)
}

// Renew gets the next certificate with the present one.
func Renew(ctx context.Context, o Options) error {
	c, err := Load(o.Dir)
	if err != nil {
		return err
	}
	_, err = o.certificate(ctx, c.TLS(), c.Node, "")
	return err
}

// Run renews the certificate whenever it is time, until ctx is done.
func Run(ctx context.Context, o Options) error {
	retry := backoff.Backoff{First: firstRetry, Max: maxRetry, Jitter: 0.5}
	problem := logging.Problem{What: "cannot renew this node's certificate"}
	failures := 0
	for {
		wait := lookInterval
		c, err := Load(o.Dir)
		if err == nil && due(time.Now(), c.Certificate.Leaf) {
			if err = Renew(ctx, o); err == nil {
				o.Log.Info("renewed this node's certificate")
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if problem.Is(o.Log, err); err == nil {
			failures = 0
		} else {
			failures++
			wait = retry.Delay(failures)
		}
		if backoff.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

func due(now time.Time, c *x509.Certificate) bool { return !now.Before(renewAt(c)) }

// authority asks for the authorities and returns the one that has the hash.
// Nothing else of the answer, nor who gave it, is believed.
func (o Options) authority(ctx context.Context, want [sha256.Size]byte) (*x509.Certificate, error) {
	anybody := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
	answer, err := o.ask(ctx, anybody, http.MethodGet, "/ca.crt", nil, "")
	if err != nil {
		return nil, err
	}
	for {
		var b *pem.Block
		if b, answer = pem.Decode(answer); b == nil {
			return nil, fmt.Errorf("%s is not the cloudcore that the token is of: none of its authorities has the token's hash",
				o.Address)
		}
		if sha256.Sum256(b.Bytes) == want {
			return x509.ParseCertificate(b.Bytes)
		}
	}
}

// certificate makes a key, gets its certificate and stores both.
func (o Options) certificate(ctx context.Context, config *tls.Config, node, jwt string) (kubernetes string, err error) {
	key, csr, err := request(node)
	if err != nil {
		return "", err
	}
	text, err := o.ask(ctx, config, http.MethodPost, "/edge.crt", csr, jwt)
	if err != nil {
		return "", err
	}
	var answer struct {
		Certificate string `json:"certificate"`
		Authorities string `json:"authorities"`
		Kubernetes  string `json:"kubernetes"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("cloudcore's answer: %w", err)
	}
	return answer.Kubernetes, store(o.Dir, node, key, answer.Certificate, answer.Authorities)
}

// ask makes a request and returns the answer's body.
func (o Options) ask(
	ctx context.Context, config *tls.Config, method, path string, body []byte, jwt string,
) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "https://"+o.Address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if jwt != "" {
		r.Header.Set("Authorization", "Bearer "+jwt)
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
		},
		// A redirect could carry the token away.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, explain(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	text := shorten.Text(strings.TrimSpace(string(answer)), maxTextBytes)
	switch {
	case err != nil:
		return nil, err
	case len(answer) > maxAnswerBytes:
		return nil, fmt.Errorf("%s answers more than %d bytes: it is not cloudcore", o.Address, maxAnswerBytes)
	case resp.StatusCode == http.StatusForbidden:
		return nil, &RefusedError{text}
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s: %s", o.Address, resp.Status, text)
	}
	return answer, nil
}

// explain says first what a person can do.
func explain(err error) error {
	var unknown x509.UnknownAuthorityError
	switch {
	case strings.Contains(err.Error(), "remote error: tls: expired certificate"):
		return fmt.Errorf("this node's certificate has expired, join again with a new token: %w", err)
	case strings.Contains(err.Error(), "remote error: tls: certificate required"):
		return fmt.Errorf("cloudcore's port of certificates asks for none; this may be its port of links, so look whether both ports are right: %w", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("this is not the cloudcore of the token, or of this node's certificate: %w", err)
	}
	return err
}
