package soap

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"time"
)

const (
	wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	wsu  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	// The type of passwords, and the encoding of nonces.
	passwordDigest = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
	base64Binary   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
)

// usernameToken makes the header by which a user is named: WSS UsernameToken
// Profile 1.0. At is the time by the camera's clock.
func usernameToken(c Credentials, at time.Time) (string, error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // it never fails
	created := at.UTC().Format("2006-01-02T15:04:05.000Z")
	var name bytes.Buffer
	if err := xml.EscapeText(&name, []byte(c.Username)); err != nil {
		return "", fmt.Errorf("write the user name: %w", err)
	}
	return `<w:Security s:mustUnderstand="1" xmlns:w="` + wsse + `" xmlns:u="` + wsu + `"><w:UsernameToken>` +
		`<w:Username>` + name.String() + `</w:Username>` +
		`<w:Password Type="` + passwordDigest + `">` + tokenDigest(nonce, created, c.Password) + `</w:Password>` +
		`<w:Nonce EncodingType="` + base64Binary + `">` + base64.StdEncoding.EncodeToString(nonce) + `</w:Nonce>` +
		`<u:Created>` + created + `</u:Created></w:UsernameToken></w:Security>`, nil
}

// tokenDigest is section 3.1 of the profile. It asks for SHA-1.
func tokenDigest(nonce []byte, created, password string) string {
	h := sha1.New()
	h.Write(nonce)
	h.Write([]byte(created))
	h.Write([]byte(password))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
