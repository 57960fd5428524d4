package registry

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

// address is where a registered handler is reached.
type address struct {
	network string // "unix" or "tcp"
	dial    string // a path, or host:port
	dir     string // the folder that the path is in
}

// String is the address in its one canonical form, as it identifies an endpoint.
func (a address) String() string {
	if a.network == "tcp" {
		return "http://" + a.dial
	}
	return a.dial
}

// maxAddressBytes is more than a socket's path or a host name needs.
const maxAddressBytes = 512

// parseAddress reads the endpoint of a registration. Sockets must be in dir: the
// agent is root, and a handler must not make it connect elsewhere.
func parseAddress(kind pb.RegisterDiscoveryHandlerRequest_EndpointType, endpoint, dir string) (address, error) {
	if len(endpoint) > maxAddressBytes || !printable(endpoint) {
		return address{}, fmt.Errorf("endpoint %s: too long or not printable", show(endpoint))
	}
	var a address
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
		return address{}, fmt.Errorf("endpoint %s: %w", show(endpoint), err)
	}
	return a, nil
}

func parseSocket(path, dir string) (address, error) {
	clean := filepath.Clean(path)
	switch {
	case !filepath.IsAbs(path):
		return address{}, errors.New("want the absolute path of a socket for UDS")
	case !strings.HasPrefix(clean, strings.TrimSuffix(dir, "/")+"/"):
		return address{}, fmt.Errorf("the socket must be in %s, and that folder be mounted under the same path by agent and handler", dir)
	case len(clean) > 107:
		return address{}, errors.New("a socket's path has 107 bytes at most")
	case clean == filepath.Join(dir, Socket):
		return address{}, errors.New("that is the agent's own socket")
	}
	return address{network: "unix", dial: clean, dir: dir}, nil
}

func parseURL(text string) (address, error) {
	const want = "want http://<host>:<port> for NETWORK"
	u, err := url.Parse(text)
	if err != nil {
		return address{}, errors.New(want)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	bare := u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.Opaque == "" && (u.Path == "" || u.Path == "/")
	if u.Scheme != "http" || u.Hostname() == "" || err != nil || port == 0 || !bare {
		return address{}, errors.New(want)
	}
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		host = ip.String()
	} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return address{}, errors.New(want)
	}
	return address{network: "tcp", dial: net.JoinHostPort(host, strconv.FormatUint(port, 10))}, nil
}
