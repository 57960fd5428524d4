package contract

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	pb "github.com/akri-go/akri/api/discovery/v0"
)

// Address is where a registered handler is reached.
type Address struct {
	Network string // "unix" or "tcp"
	Dial    string // a path, or host:port
	Dir     string // the folder that the path is in
}

// String is the address in its one canonical form, as it identifies an endpoint.
func (a Address) String() string {
	if a.Network == "tcp" {
		return "http://" + a.Dial
	}
	return a.Dial
}

// maxAddressBytes is more than a socket's path or a host name needs.
const maxAddressBytes = 512

// ParseAddress reads the endpoint of a registration. Sockets must be in dir: the
// agent is root, and a handler must not make it connect elsewhere.
func ParseAddress(kind pb.RegisterDiscoveryHandlerRequest_EndpointType, endpoint, dir string) (Address, error) {
	if len(endpoint) > maxAddressBytes || !Printable(endpoint) {
		return Address{}, fmt.Errorf("endpoint %s: too long or not printable", Show(endpoint))
	}
	var a Address
	var err error
	switch kind {
	case pb.RegisterDiscoveryHandlerRequest_UDS:
		a, err = parseSocket(endpoint, dir)
	case pb.RegisterDiscoveryHandlerRequest_NETWORK:
		a, err = parseURL(endpoint)
	default:
		err = fmt.Errorf("endpoint type %d is neither UDS nor NETWORK", kind)
	}
	if err != nil {
		return Address{}, fmt.Errorf("endpoint %s: %w", Show(endpoint), err)
	}
	return a, nil
}

func parseSocket(path, dir string) (Address, error) {
	clean := filepath.Clean(path)
	switch {
	case !filepath.IsAbs(path):
		return Address{}, errors.New("want the absolute path of a socket for UDS")
	case !strings.HasPrefix(clean, strings.TrimSuffix(dir, "/")+"/"):
		return Address{}, fmt.Errorf("the socket must be in %s, and that folder be mounted under the same path by agent and handler", dir)
	case len(clean) > 107:
		return Address{}, errors.New("a socket's path has 107 bytes at most")
	case clean == filepath.Join(dir, AgentSocket):
		return Address{}, errors.New("that is the agent's own socket")
	}
	return Address{Network: "unix", Dial: clean, Dir: dir}, nil
}

func parseURL(text string) (Address, error) {
	const want = "want http://<host>:<port> for NETWORK"
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, errors.New(want)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	bare := u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.Opaque == "" && (u.Path == "" || u.Path == "/")
	if u.Scheme != "http" || u.Hostname() == "" || err != nil || port == 0 || !bare {
		return Address{}, errors.New(want)
	}
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		host = ip.String()
	} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return Address{}, errors.New(want)
	}
	return Address{Network: "tcp", Dial: net.JoinHostPort(host, strconv.FormatUint(port, 10))}, nil
}
