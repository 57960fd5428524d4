package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/wire"
	"github.com/akri-go/akri/internal/shorten"
)

// explain says what is wrong with a broker, and what can be done.
func explain(broker details.URL, user bool, err error) string {
	return fmt.Sprintf("%s: %s", shorten.Text(broker.String(), 100), shorten.Text(remedy(user, err), 300))
}

func remedy(user bool, err error) string {
	var (
		refused   *wire.RefusedError
		handshake *handshakeError
	)
	switch {
	case errors.As(err, &refused):
		switch {
		case refused.Password() && user:
			return refused.Error() + ": compare username and password in discoveryProperties with the broker's"
		case refused.Password():
			return "the broker does not let anybody in without a user: give username and password in discoveryProperties"
		}
		return refused.Error()
	case errors.As(err, &handshake):
		return ofTLS(handshake)
	case errors.Is(err, wire.ErrVersion):
		return "it speaks neither MQTT 5.0 nor 3.1.1"
	}
	if text := ofAlert(err); text != "" {
		return text
	}
	if text := address.Explain(err, "an MQTT broker"); text != "" {
		return text
	}
	if err == wire.ErrClosed { //nolint:errorlint // one that says why needs no guess
		return "it closes the connection without a word: does it want TLS there (mqtts://), or a client that it knows?"
	}
	return err.Error()
}

// ofTLS says why there is no TLS.
func ofTLS(err *handshakeError) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return "its certificate is from an authority that is not known: give ca_certificates in discoveryProperties"
	case errors.As(err, &hostname):
		return "its certificate is for another host: give the URL with a host that stands in the certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet: renew it, or look at the clocks"
	case errors.As(err, &record), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it does not speak TLS there: give the port for TLS, or a URL that begins with mqtt://"
	}
	if text := ofAlert(err); text != "" {
		return text
	}
	if text := address.Explain(err, "an MQTT broker"); text != "" {
		return text
	}
	return err.Error()
}

// ofAlert says what the broker has said by TLS; "" if it has not.
func ofAlert(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" { // as crypto/tls has it for alerts
		return ""
	}
	return fmt.Sprintf("it refuses TLS (%s): does it want client_certificate and client_key in discoveryProperties, "+
		"or others than these?", shorten.Text(op.Err.Error(), 80))
}
