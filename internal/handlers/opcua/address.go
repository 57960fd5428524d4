package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
)

// network is what the handler needs of it.
type network struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

func hostNetwork() network {
	return network{
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		},
	}
}

// judge tells what speaks against calling an address; nil if nothing does.
type judge func(netip.Addr) error

// ordinary judges an address that nobody has named.
func ordinary(ip netip.Addr) error {
	ip = address.Plain(ip)
	switch {
	case address.Metadata(ip):
		return fmt.Errorf("%s is a cloud's metadata service", ip)
	case ip.IsLoopback():
		return fmt.Errorf("%s is the node itself", ip)
	case ip.IsLinkLocalUnicast():
		return fmt.Errorf("%s is a link-local address", ip)
	case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is no host's address", ip)
	}
	return nil
}

// named judges the addresses of a URL that a Configuration names. An address that
// stands in it is meant; a name must not lead to what its author cannot mean.
func named(u details.URL) judge {
	if _, ok := u.IP(); ok {
		return func(netip.Addr) error { return nil }
	}
	return func(ip netip.Addr) error {
		if u.Host == "localhost" && ip.Unmap().IsLoopback() {
			return nil
		}
		if err := ordinary(ip); err != nil {
			return fmt.Errorf("%w, and is not called unless the URL names it", err)
		}
		return nil
	}
}

// told judges the addresses of a URL that a server at an address tells: it may
// know of what is as near to it as itself.
func told(by netip.Addr) judge {
	by = by.Unmap().WithZone("")
	return func(ip netip.Addr) error {
		ip = ip.Unmap().WithZone("")
		near := by.IsLoopback() && ip.IsLoopback() ||
			by.IsLinkLocalUnicast() && ip.IsLinkLocalUnicast() && !address.Metadata(ip)
		if ip == by || near {
			return nil
		}
		return ordinary(ip)
	}
}

// errLater says that it is not known yet where a host is.
var errLater = errors.New("its host cannot be looked up at the moment")

// notFound tells whether an error says that there is no such host, and not that
// nobody could be asked.
func notFound(err error) bool {
	var missing *net.DNSError
	return errors.As(err, &missing) && missing.IsNotFound
}

// place returns where a server is that another one, asked at an address, tells
// of. known are the addresses of the URL's host, and err says why there are none.
// A host that only its own machine can mean (loopback, 0.0.0.0), or that nobody
// knows, is the one that was asked: it is the best guess there is.
func place(u details.URL, known []netip.Addr, err error, asked details.URL, at netip.Addr) (details.URL, judge, error) {
	if err != nil && !notFound(err) {
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

// addresses returns those of a URL's host.
func (n network) addresses(ctx context.Context, u details.URL) ([]netip.Addr, error) {
	if ip, ok := u.IP(); ok {
		return []netip.Addr{ip}, nil
	}
	if u.Host == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return n.lookup(ctx, u.Host)
}

const (
	maxAddresses   = 4               // of one host that are tried
	connectTimeout = 3 * time.Second // of each, as upstream's
)

// connect connects to the first address that is not spoken against and answers.
func (n network) connect(ctx context.Context, u details.URL, j judge) (net.Conn, netip.Addr, error) {
	all, err := n.addresses(ctx, u)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	err = errors.New("its host has no address")
	var allowed []netip.Addr
	for _, ip := range all {
		if against := j(ip); against != nil {
			err = against
		} else {
			allowed = append(allowed, ip)
		}
	}
	port, _ := net.LookupPort("tcp", u.Port) // a number, as ParseURL has seen to
	for _, ip := range allowed[:min(len(allowed), maxAddresses)] {
		var conn net.Conn
		if conn, err = n.dialWithin(ctx, netip.AddrPortFrom(ip.Unmap(), uint16(port))); err == nil {
			return conn, ip, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, netip.Addr{}, err
}

func (n network) dialWithin(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return n.dial(ctx, to)
}
