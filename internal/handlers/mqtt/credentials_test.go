package mqtt

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
)

// What is wrong is said without what is in it.
func TestProperties(t *testing.T) {
	authority := mqtttest.NewAuthority(t)
	certificate, key := authority.Certificate("client", time.Now().Add(time.Hour))
	other, _ := authority.Certificate("other", time.Now().Add(time.Hour))
	const secret = "hunter2"
	for _, c := range []struct {
		scheme     string
		properties map[string]string
		err        string
	}{
		{"mqtt", nil, ""},
		{"mqtts", nil, ""},
		{"mqtt", map[string]string{"username": "u"}, ""},
		{"mqtt", map[string]string{"username": "u", "password": secret, "something": "else"}, ""},
		{"mqtt", map[string]string{"password": secret}, "password: there is no username"},
		{"mqtt", map[string]string{"username": "u", "password": strings.Repeat(secret, 10_000)}, "password: 70000 bytes, MQTT allows 65535"},
		{"mqtt", map[string]string{"x": strings.Repeat("x", maxPropertyBytes+1)}, "x: 1048577 bytes"},
		{"mqtt", map[string]string{"ca_certificates": string(authority.PEM)}, "ca_certificates: mqtt://b:1883 has no TLS"},
		{"mqtts", map[string]string{"ca_certificates": string(authority.PEM)}, ""},
		{"mqtts", map[string]string{"ca_certificates": secret}, "ca_certificates: there is no certificate in PEM in it"},
		{"mqtts", map[string]string{"client_certificate": string(certificate), "client_key": string(key)}, ""},
		{"mqtts", map[string]string{"client_certificate": string(certificate)}, "client_certificate: there is no client_key"},
		{"mqtts", map[string]string{"client_key": string(key)}, "client_key: there is no client_certificate"},
		{"mqtts", map[string]string{"client_certificate": secret, "client_key": secret}, "not a certificate and its key in PEM"},
		{"mqtts", map[string]string{"client_certificate": string(other), "client_key": string(key)}, "not a certificate and its key"},
	} {
		d, err := details.Parse("broker: " + c.scheme + "://b\nhomie: {}")
		if err != nil {
			t.Fatal(err)
		}
		given := map[string][]byte{}
		for name, value := range c.properties {
			given[name] = []byte(value)
		}
		got, err := parseProperties(given, d)
		if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%v: %v, want %s", c.properties, err, c.err)
		}
		if err == nil && ((got.tls != nil) != (c.scheme == "mqtts") || string(got.password) != c.properties["password"]) {
			t.Errorf("%v: %+v", c.properties, got)
		}
		if got.tls != nil && (got.tls.InsecureSkipVerify || got.tls.MinVersion < tls.VersionTLS12) {
			t.Errorf("%v: TLS is not verified", c.properties)
		}
	}
}
