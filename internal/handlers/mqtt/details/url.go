package details

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/akri-go/akri/internal/handlers/fields"
)

// URL is that of a broker: mqtt://host:port, or mqtts:// with TLS.
type URL struct {
	TLS bool
	// Host is a name in lower case, or an address as it is written by net/netip.
	Host string
	Port uint16
}

const maxURLBytes = 512

// ParseURL parses the URL of a broker. Without a port it has 1883, or 8883 with
// TLS, which are registered for MQTT. Errors are for whoever has written it.
func ParseURL(text string) (URL, error) {
	if len(text) > maxURLBytes {
		return URL{}, fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxURLBytes)
	}
	// What is shown of it has no user: there may be a password in it.
	shown := text
	if i := strings.LastIndex(text, "@"); i >= 0 {
		shown = "…" + text[i:]
	}
	wrong := func(why string) (URL, error) {
		return URL{}, fmt.Errorf("%.64q: %s, such as mqtts://broker.example:8883", shown, why)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return wrong("has white space; give a URL")
	}
	u, err := url.Parse(text)
	if err != nil {
		return wrong("is no URL; give one")
	}
	result := URL{Host: u.Hostname(), Port: 1883}
	switch u.Scheme {
	case "mqtt", "tcp":
	case "mqtts", "ssl", "tls":
		result.TLS, result.Port = true, 8883
	case "ws", "wss":
		return wrong("MQTT over WebSocket is not spoken; give the URL of the broker's listener for TCP or TLS")
	default:
		return wrong("does not begin with mqtt:// or mqtts://; give a URL")
	}
	switch {
	case u.User != nil:
		return wrong("has a user, which everybody could read; " +
			"give username and password in discoveryProperties, and a URL without")
	case u.Opaque != "" || result.Host == "":
		return wrong("names no host; give a URL with one")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return wrong("has a path; give a URL with only a host and a port")
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return wrong("has a port that is none; give one from 1 to 65535")
		}
		result.Port = uint16(n)
	}
	if result.Host, err = fields.Host(result.Host); err != nil {
		return wrong("has a host that is none: " + err.Error() + "; give a URL with one")
	}
	return result, nil
}

// Local tells whether the host is the machine itself.
func (u URL) Local() bool {
	ip, err := netip.ParseAddr(u.Host)
	return u.Host == "localhost" || err == nil && ip.IsLoopback()
}

// String returns the URL with its port.
func (u URL) String() string {
	scheme := "mqtt"
	if u.TLS {
		scheme = "mqtts"
	}
	return scheme + "://" + net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port)))
}
