package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// credentials are what the discoveryProperties of a Configuration say. They are
// secret: they are in no error and no log.
type credentials struct {
	user, password []byte // nil if there is none
	tls            *tls.Config
}

// What discoveryProperties are called.
const (
	propertyUser        = "username"
	propertyPassword    = "password"
	propertyRoots       = "ca_certificates"
	propertyCertificate = "client_certificate"
	propertyKey         = "client_key"

	maxPropertyBytes = 1 << 20
)

// parseProperties reads discoveryProperties: username and password, and for TLS
// ca_certificates, client_certificate and client_key, all of them PEM. What it does
// not know is for others.
func parseProperties(all map[string][]byte, d details.Details) (credentials, error) {
	var c credentials
	for name, value := range all {
		if len(value) > maxPropertyBytes {
			return c, fmt.Errorf("%s: %d bytes, at most %d are allowed", name, len(value), maxPropertyBytes)
		}
	}
	c.user, c.password = all[propertyUser], all[propertyPassword]
	for name, value := range map[string][]byte{propertyUser: c.user, propertyPassword: c.password} {
		if len(value) > math.MaxUint16 {
			return c, fmt.Errorf("%s: %d bytes, MQTT allows %d", name, len(value), math.MaxUint16)
		}
	}
	if c.user == nil && c.password != nil {
		return c, fmt.Errorf("%s: there is no %s, which MQTT wants with it", propertyPassword, propertyUser)
	}
	if d.Broker.TLS {
		return c, c.setTLS(all, d)
	}
	for _, name := range []string{propertyRoots, propertyCertificate, propertyKey} {
		if all[name] != nil {
			return c, fmt.Errorf("%s: %s has no TLS: give a URL that begins with mqtts://", name, d.Broker)
		}
	}
	return c, nil
}

func (c *credentials) setTLS(all map[string][]byte, d details.Details) error {
	c.tls = &tls.Config{ServerName: d.Broker.Host, InsecureSkipVerify: d.SkipTLSVerify, MinVersion: tls.VersionTLS12}
	if pem := all[propertyRoots]; pem != nil {
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: there is no certificate in PEM in it", propertyRoots)
		}
	}
	certificate, key := all[propertyCertificate], all[propertyKey]
	switch {
	case certificate == nil && key == nil:
		return nil
	case certificate == nil:
		return fmt.Errorf("%s: there is no %s, which belongs to it", propertyKey, propertyCertificate)
	case key == nil:
		return fmt.Errorf("%s: there is no %s, which belongs to it", propertyCertificate, propertyKey)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil { // which could show something of them
		return errors.New(propertyCertificate + " and " + propertyKey + ": not a certificate and its key in PEM")
	}
	c.tls.Certificates = []tls.Certificate{pair}
	return nil
}
