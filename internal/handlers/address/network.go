package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Network is what handlers need of the network to call hosts that they are told
// of. Tests replace parts of it.
type Network struct {
	// Lookup returns the addresses of a host.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects by TCP.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// System returns the network of this machine.
func System() Network {
	return Network{
		Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		},
	}
}

// Judge tells what speaks against calling an address; nil if nothing does.
type Judge func(netip.Addr) error

// Ordinary judges an address that nobody has named.
func Ordinary(ip netip.Addr) error {
	ip = Plain(ip)
	switch {
	case Metadata(ip):
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

// Named judges the addresses of a host that a Configuration names as what, such as
// "the URL". An address that stands in it is meant; a name must not lead to what
// its author cannot mean.
func Named(host, what string) Judge {
	if _, err := netip.ParseAddr(host); err == nil {
		return func(netip.Addr) error { return nil }
	}
	return func(ip netip.Addr) error {
		if host == "localhost" && ip.Unmap().IsLoopback() {
			return nil
		}
		if err := Ordinary(ip); err != nil {
			return fmt.Errorf("%w, and is not called unless %s names it", err, what)
		}
		return nil
	}
}

// Addresses returns those of a host: a name, or an address.
func (n Network) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if host == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return n.Lookup(ctx, host)
}

const (
	// maxAddresses is how many addresses of one host are tried.
	maxAddresses = 4
	// connectTimeout is for how long each is tried, as by upstream Akri's handlers.
	connectTimeout = 3 * time.Second
)

// Connect connects to the first address of a host that is not spoken against and
// answers. It tells which that was.
func (n Network) Connect(ctx context.Context, host string, port uint16, j Judge) (net.Conn, netip.Addr, error) {
	all, err := n.Addresses(ctx, host)
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
	for _, ip := range allowed[:min(len(allowed), maxAddresses)] {
		var conn net.Conn
		if conn, err = n.dialWithin(ctx, netip.AddrPortFrom(ip.Unmap(), port)); err == nil {
			return conn, ip, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, netip.Addr{}, err
}

func (n Network) dialWithin(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return n.Dial(ctx, to)
}

// NotFound tells whether an error says that there is no such host, and not that
// nobody could be asked.
func NotFound(err error) bool {
	var missing *net.DNSError
	return errors.As(err, &missing) && missing.IsNotFound
}

// Explain says in words why a host could not be called, and what can be done; ""
// if the error is of another kind. server is what should be there, such as "an OPC
// UA server".
func Explain(err error, server string) string {
	var (
		dns     *net.DNSError
		network net.Error
	)
	switch {
	case NotFound(err):
		return "there is no such host: is the name right, and can Pods look it up?"
	case errors.As(err, &dns):
		return fmt.Sprintf("the host cannot be looked up (%.80s): does the name server answer?", dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: does %s run there, on this port?", server)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time: is it running, and does a firewall or network policy let this node reach it?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "not reachable from this node: is there a route to it?"
	}
	return ""
}
