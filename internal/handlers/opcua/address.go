package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

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

// metadata are the services where clouds give programs their credentials; the
// handler onvif has the same list.
func metadata() []netip.Addr {
	var list []netip.Addr
	for _, a := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "192.0.0.192",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
	} {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

// plain returns an address as it is compared: without a zone, and the address of
// IPv4 for one of IPv6 by which translators reach it (RFC 6052, section 2.1; RFC
// 3056; RFC 4291, section 2.5.5).
func plain(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	b := ip.As16()
	for prefix, at := range map[string]int{"64:ff9b::/96": 12, "2002::/16": 2, "::/96": 12} {
		low := b[at : at+4]
		if netip.MustParsePrefix(prefix).Contains(ip) && (prefix != "::/96" || low[0] != 0) { // ::1 and :: are themselves
			return netip.AddrFrom4([4]byte(low))
		}
	}
	return ip
}

// ordinary judges an address that nobody has named.
func ordinary(ip netip.Addr) error {
	ip = plain(ip)
	switch {
	case slices.Contains(metadata(), ip):
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
			by.IsLinkLocalUnicast() && ip.IsLinkLocalUnicast() && !slices.Contains(metadata(), ip)
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
