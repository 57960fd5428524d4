// Package join is where edge nodes get certificates: an HTTPS server beside the
// hub.
//
//	GET  /ca.crt    the authorities' certificates (PEM). An edge node that does
//	                not know them yet checks them by its token.
//	POST /edge.crt  signs a certificate: the body is a certificate signing
//	                request (PEM, PKCS #10). A new node sends its token
//	                (Authorization: Bearer), one that renews its certificate
//	                shows the present one. The answer is an [Answer].
//
// A refusal is status 403, and its body one line for the person at the node.
// Paths and port are those of KubeEdge; its requests and answers are not.
package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	maxBodyBytes = 16 << 10
	// maxAtOnce is how many certificates are signed at a time, of which one
	// address has at most half.
	maxAtOnce    = 8
	patience     = 15 * time.Second
	maxTextBytes = 200
	// versionTimeout is how long the API server may take to tell its version.
	versionTimeout = 3 * time.Second
)

// Answer is that of /edge.crt, in JSON.
type Answer struct {
	// Certificate is the node's, and Authorities are those to believe from now
	// on, all in PEM.
	Certificate string `json:"certificate"`
	Authorities string `json:"authorities"`
	// Kubernetes is the version of the cluster, such as v1.37.1, if it is known:
	// a node that joins compares its kubelet with it.
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Options are for [New].
type Options struct {
	Keeper *trust.Keeper
	// Kubernetes, if not nil, returns the version of the cluster.
	Kubernetes func(context.Context) (string, error)
	// Registerer, if not nil, gets the server's metrics.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Server signs certificates.
type Server struct {
	Options
	signed  *prometheus.CounterVec
	sparing logging.Sparing
}

// New returns a server.
func New(o Options) (*Server, error) {
	s := &Server{Options: o, signed: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cloudhub_certificates_total",
		Help: "Requests of edge nodes for certificates, by how they ask (token or certificate) and result.",
	}, []string{"with", "result"})}
	if o.Registerer != nil {
		if err := o.Registerer.Register(s.signed); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Serve serves on a listener until ctx is done.
func (s *Server) Serve(ctx context.Context, l *bounded.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ca.crt", s.authorities)
	gate := bounded.NewGate(maxAtOnce, maxAtOnce/2)
	mux.Handle("POST /edge.crt", gate.Handler(patience, http.HandlerFunc(s.certificate)))
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.config() },
		// http.Server wants a certificate; here each connection has its own.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("not used") },
	}
	return bounded.Serve(ctx, l, &http.Server{
		Handler: mux, TLSConfig: config, WriteTimeout: 2 * patience,
		BaseContext: func(net.Listener) context.Context { return ctx },
	})
}

// config is how a connection is made now.
func (s *Server) config() (*tls.Config, error) {
	c, err := s.Keeper.ServerTLS()
	if err != nil {
		return nil, err
	}
	c = c.Clone()
	c.ClientAuth, c.SessionTicketsDisabled = tls.VerifyClientCertIfGiven, true
	return c, nil
}

func (s *Server) authorities(w http.ResponseWriter, _ *http.Request) {
	bundle, err := s.Keeper.Bundle()
	if err != nil {
		bounded.Busy(w, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(bundle)
}

func (s *Server) certificate(w http.ResponseWriter, r *http.Request) {
	csr, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		http.Error(w, "the body cannot be read, or is too long for a certificate signing request", http.StatusBadRequest)
		return
	}
	cert, with, err := s.sign(r, csr)
	var refused *trust.RefusedError
	switch {
	case errors.As(err, &refused):
		s.signed.WithLabelValues(with, "refused").Inc()
		s.sparing.Log(s.Log, slog.LevelWarn, "refused a certificate", "address", r.RemoteAddr, "with", with,
			"reason", shorten.Text(err.Error(), maxTextBytes))
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	case err != nil:
		s.signed.WithLabelValues(with, "failed").Inc()
		s.sparing.Log(s.Log, slog.LevelError, "cannot sign a certificate",
			"address", r.RemoteAddr, "with", with, "error", err)
		bounded.Busy(w, "cloudcore cannot sign certificates now, its log says why: try again")
		return
	}
	bundle, err := s.Keeper.Bundle()
	if err != nil {
		bounded.Busy(w, err.Error())
		return
	}
	s.signed.WithLabelValues(with, "signed").Inc()
	s.Log.Info("signed a certificate", "subject", cert.Subject.CommonName, "address", r.RemoteAddr, "with", with,
		"serial", cert.SerialNumber.Text(16), "until", cert.NotAfter)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Answer{
		Certificate: string(certs.CertPEM(cert)), Authorities: string(bundle), Kubernetes: s.kubernetes(r.Context()),
	})
}

// kubernetes is the version of the cluster; "" if it cannot be had now, since
// the certificate matters more.
func (s *Server) kubernetes(ctx context.Context) string {
	if s.Kubernetes == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	version, err := s.Kubernetes(ctx)
	if err != nil {
		s.sparing.Log(s.Log, slog.LevelWarn, "cannot tell nodes that join the version of the cluster", "error", err)
	}
	return version
}

// sign signs with a token, if there is one, else with the present certificate.
func (s *Server) sign(r *http.Request, csr []byte) (cert *x509.Certificate, with string, err error) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		cert, err = s.Keeper.Join(r.Context(), csr, token)
		return cert, "token", err
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, "nothing", trust.Refuse("a join token or this node's present certificate is needed")
	}
	cert, err = s.Keeper.Renew(r.Context(), csr, r.TLS.PeerCertificates[0])
	return cert, "certificate", err
}
