package opcua

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
)

// named judges the addresses of a URL that a Configuration names.
func named(u details.URL) address.Judge { return address.Named(u.Host, "the URL") }

// told judges the addresses of a URL that a server at an address tells: it may
// know of what is as near to it as itself.
func told(by netip.Addr) address.Judge {
	by = by.Unmap().WithZone("")
	return func(ip netip.Addr) error {
		ip = ip.Unmap().WithZone("")
		near := by.IsLoopback() && ip.IsLoopback() ||
			by.IsLinkLocalUnicast() && ip.IsLinkLocalUnicast() && !address.Metadata(ip)
		if ip == by || near {
			return nil
		}
		return address.Ordinary(ip)
	}
}

// errLater says that it is not known yet where a host is.
var errLater = errors.New("its host cannot be looked up at the moment")

// place returns where a server is that another one, asked at an address, tells
// of. known are the addresses of the URL's host, and err says why there are none.
// A host that only its own machine can mean (loopback, 0.0.0.0), or that nobody
// knows, is the one that was asked: it is the best guess there is.
func place(u details.URL, known []netip.Addr, err error, asked details.URL, at netip.Addr) (details.URL, address.Judge, error) {
	if err != nil && !address.NotFound(err) {
		return u, nil, errLater
	}
	var refused error
	for _, ip := range known {
		err := told(at)(ip)
		if err == nil {
			return u, told(at), nil
		}
		if own := ip.Unmap(); !own.IsLoopback() && !own.IsUnspecified() {
			refused = err
		}
	}
	if refused != nil {
		return u, nil, refused
	}
	return u.At(asked.Host), named(asked), nil
}

// connect connects to the first address of a URL's host that is not spoken
// against and answers.
func connect(ctx context.Context, n address.Network, u details.URL, j address.Judge) (net.Conn, netip.Addr, error) {
	port, err := net.LookupPort("tcp", u.Port) // a number, as ParseURL has seen to
	if err != nil {
		return nil, netip.Addr{}, err
	}
	return n.Connect(ctx, u.Host, uint16(port), j)
}
