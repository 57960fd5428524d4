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

// Scheme is that of OPC UA over TCP, the only transport that is asked.
const Scheme = "opc.tcp"

const (
	defaultPort = "4840" // registered for opc.tcp
	maxURLBytes = 700    // bytes; with another host and a port an agent takes it as an id
)

// URL is that of a server: opc.tcp://host:port/path.
type URL struct {
	// Host is a name in lower case, or an address as it is written by net/netip.
	Host string
	Port string
	// rest is the path and what follows it.
	rest string
	text string // as it was written
}

// ParseURL parses a URL. Without a port it has 4840. Errors are for whoever has
// written it.
func ParseURL(text string) (URL, error) {
	if len(text) > maxURLBytes {
		return URL{}, fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxURLBytes)
	}
	wrong := func(why string) (URL, error) {
		return URL{}, fmt.Errorf("%.64q: %s, such as opc.tcp://plc.example:4840", text, why)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return wrong("has white space; give a URL")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return wrong("is no URL; give one")
	case u.Scheme != Scheme:
		return wrong("does not begin with " + Scheme + "://, and only such URLs are asked; give one")
	case u.User != nil:
		return wrong("has a user, which discovery does not need; give a URL without")
	case u.Opaque != "" || u.Hostname() == "":
		return wrong("names no host; give a URL with one")
	}
	host, err := fields.Host(u.Hostname())
	if err != nil {
		return wrong("has a host that is none: " + err.Error() + "; give a URL with one")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return wrong("has a port that is none; give one from 1 to 65535")
	}
	_, rest, _ := strings.Cut(text, "//")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[i:]
	} else {
		rest = ""
	}
	result := URL{Host: host, Port: port, rest: rest, text: text}
	if u.Port() == "" {
		result.text = result.String()
	}
	return result, nil
}

// IP returns the host if it is an address.
func (u URL) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(u.Host)
	return ip, err == nil
}

// At returns the URL with another host.
func (u URL) At(host string) URL {
	u.Host = host
	u.text = u.String()
	return u
}

// Address returns host:port.
func (u URL) Address() string { return net.JoinHostPort(u.Host, u.Port) }

// Text returns the URL as it was written, but with a port.
func (u URL) Text() string { return u.text }

// String returns the URL in its plainest form. The zone of an address stands behind
// an escaped % (RFC 6874).
func (u URL) String() string {
	return Scheme + "://" + strings.Replace(u.Address(), "%", "%25", 1) + u.rest
}

// Key is the same for URLs of one place: those that differ in the case of the
// host, in the port being named, or in a lone slash at the end.
func (u URL) Key() string {
	if u.rest == "/" {
		u.rest = ""
	}
	return u.String()
}
