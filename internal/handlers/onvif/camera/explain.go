package camera

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"net"
	"strings"
	"unicode"

	"github.com/akri-go/akri/internal/onvif/plainxml"
	"github.com/akri-go/akri/internal/onvif/soap"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// maxText is how many bytes of an error are told.
	maxText = 1 << 10
	// maxCause is how many are told if there is something that helps, so that there
	// is room for it.
	maxCause = 140
)

// Explain says in one line what is wrong with a camera and what helps.
func Explain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	text = shorten.Text(strings.Map(func(r rune) rune { // names in certificates have what they like
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text), maxText)
	if help := remedy(err); help != "" {
		text = shorten.Text(text, maxCause) + ": " + help
	}
	return text
}

// remedy says what helps; "" if nothing is known that would.
func remedy(err error) string {
	var (
		auth     *soap.AuthError
		redirect *soap.RedirectError
		expired  *soap.CertificateError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		record   tls.RecordHeaderError
		syntax   *xml.SyntaxError
		network  net.Error
	)
	switch {
	case errors.As(err, &auth) && auth.User == "":
		return "give them in discoveryProperties (username_default and password_default, or by its UUID)"
	case errors.As(err, &auth) && auth.NoPassword:
		return "give the password in discoveryProperties (password_default, or by its UUID)"
	case errors.As(err, &auth):
		return "correct them in discoveryProperties; until then it is rarely tried again, since cameras lock accounts"
	case errors.As(err, &redirect):
		return "set the address or port of its ONVIF service right in the camera"
	case errors.As(err, &expired):
		return "renew the camera's certificate, or set insecureSkipTLSVerify in discoveryDetails"
	case errors.As(err, &unknown), errors.As(err, &name):
		return "give who signed its certificate as ca_certificates in discoveryProperties, or set " +
			"insecureSkipTLSVerify in discoveryDetails"
	case errors.As(err, &record):
		return "it does not speak TLS at the address that it names"
	case errors.Is(err, plainxml.ErrDTD), errors.Is(err, soap.ErrTooLarge), errors.As(err, &syntax):
		return "this is no ONVIF service, or a broken one: look at the camera's firmware, or exclude it by uuids"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "it is too slow, or something between this node and the camera keeps TCP away"
	}
	return ""
}
