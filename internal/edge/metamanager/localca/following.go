package localca

import (
	"crypto/tls"
	"slices"
	"sync"
)

// Following is the configuration of a server whose names and addresses change:
// hosts is asked at each handshake, and the server gets a new certificate when
// its answer is another one.
func (a *Authority) Following(hosts func() []string) *tls.Config {
	f := &following{authority: a, hosts: hosts}
	config := a.Config(tls.Certificate{})
	config.Certificates, config.GetCertificate = nil, f.certificate
	return config
}

type following struct {
	authority *Authority
	hosts     func() []string

	mu   sync.Mutex
	of   []string // the hosts that cert is for
	cert *tls.Certificate
}

func (f *following) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	hosts := f.hosts()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cert != nil && slices.Equal(hosts, f.of) {
		return f.cert, nil
	}
	cert, err := f.authority.Server(hosts...)
	if err != nil {
		return nil, err
	}
	f.of, f.cert = hosts, &cert
	return f.cert, nil
}
