package soap

import (
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/onvif/plainxml"
	"github.com/akri-go/akri/internal/shorten"
)

// ErrTooLarge says that an answer has more bytes than are read: [MaxBody], or
// those that [Client.Get] was told.
var ErrTooLarge = errors.New("it is too large")

// AuthError says that a camera refuses a call for want of a user that it knows.
type AuthError struct {
	// User is who was named; "" if nobody was.
	User string
	// NoPassword says that no password was given for that user.
	NoPassword bool
	// Reason is what the camera says; it may be "".
	Reason string
}

func (e *AuthError) Error() string {
	text := "it wants a user name and a password"
	switch {
	case e.User != "" && e.NoPassword:
		text = fmt.Sprintf("it refuses the user %q without a password", e.User)
	case e.User != "":
		text = fmt.Sprintf("it refuses the user %q or the password", e.User)
	}
	if e.Reason != "" {
		text += fmt.Sprintf(" (%q)", e.Reason)
	}
	return text
}

// RedirectError says that a camera wants to be asked elsewhere.
type RedirectError struct{ To string }

func (e *RedirectError) Error() string {
	return fmt.Sprintf("it redirects to %q, which is not followed", shorten.Text(e.To, 128))
}

// StatusError says that a camera answers with a status of HTTP that is no
// success, and nothing that could be read.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("it answers HTTP %d %s", e.Code, http.StatusText(e.Code))
}

// Fault is a fault of SOAP.
type Fault struct {
	// Codes are code and subcodes, without prefixes.
	Codes  []string
	Reason string
}

func (e *Fault) Error() string {
	return fmt.Sprintf("it answers with the fault %s: %q", strings.Join(e.Codes, "/"), e.Reason)
}

// notAuthorized tells whether the fault says that the user is not known: ONVIF
// Core Specification, section 5.11.2.3, and WSS SOAP Message Security, section 12.
func (e *Fault) notAuthorized() bool {
	for _, c := range e.Codes {
		switch c {
		case "NotAuthorized", "SenderNotAuthorized", "FailedAuthentication", "InvalidSecurityToken", "InvalidSecurity":
			return true
		}
	}
	return false
}

type codeXML struct {
	Value   string   `xml:"Value"`
	Subcode *codeXML `xml:"Subcode"`
}

type faultXML struct {
	Code   codeXML `xml:"Code"`
	Reason struct {
		Text []string `xml:"Text"`
	} `xml:"Reason"`
	// SOAP 1.1, which some cameras fall back to.
	OldCode   string `xml:"faultcode"`
	OldReason string `xml:"faultstring"`
}

// readFault returns the fault in a body; nil if there is none.
func readFault(body []byte) *Fault {
	var e struct {
		XMLName xml.Name  `xml:"Envelope"`
		Fault   *faultXML `xml:"Body>Fault"`
	}
	if err := plainxml.Unmarshal(body, &e); err != nil || e.Fault == nil {
		return nil
	}
	f := &Fault{Reason: e.Fault.OldReason}
	for c := &e.Fault.Code; c != nil; c = c.Subcode {
		if c.Value != "" {
			f.Codes = append(f.Codes, localName(c.Value))
		}
	}
	if e.Fault.OldCode != "" {
		f.Codes = append(f.Codes, localName(e.Fault.OldCode))
	}
	if len(e.Fault.Reason.Text) > 0 {
		f.Reason = e.Fault.Reason.Text[0]
	}
	f.Reason = shorten.Text(strings.TrimSpace(f.Reason), 128)
	return f
}

// localName returns a qualified name without its prefix.
func localName(s string) string {
	s = strings.TrimSpace(s)
	return shorten.Text(s[strings.LastIndexByte(s, ':')+1:], 64)
}

// CertificateError says that the time of a camera's certificate is over, or has
// not come.
type CertificateError struct {
	From, To time.Time
	err      error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("its certificate is good from %s to %s only",
		e.From.Format(time.DateOnly), e.To.Format(time.DateOnly))
}

// Unwrap returns the error of package x509.
func (e *CertificateError) Unwrap() error { return e.err }

// steady makes an error of the network whose text is the same each time: without
// the time, and without the port that the kernel has chosen.
func steady(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		return &CertificateError{From: invalid.Cert.NotBefore, To: invalid.Cert.NotAfter, err: err}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// IsAuth tells whether an error is an [*AuthError].
func IsAuth(err error) bool {
	var e *AuthError
	return errors.As(err, &e)
}
