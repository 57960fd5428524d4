package multicast

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// receiveBuffer holds the answers of a few hundred devices that come at once; the
// kernel gives as much of it as net.core.rmem_max says.
const receiveBuffer = 1 << 20

// Option sets an option of a socket before it is bound.
type Option func(fd int) error

// Group4 returns a socket that hears what is sent to a group of IPv4, beside
// others that do. It is bound to the group's address and not to any: so it takes
// nothing that is sent to this node alone, where others may listen on the port,
// and it does not hear groups that others have joined. Interfaces are joined by
// [Join]. What it sends comes from the group's port, and from the address that
// the control message of [ipv4.PacketConn.WriteTo] names.
func Group4(group netip.AddrPort, options ...Option) (*ipv4.PacketConn, error) {
	c, err := Open(group, append(options, shared, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	})...)
	if err != nil {
		return nil, err
	}
	p := ipv4.NewPacketConn(c)
	if err := p.SetControlMessage(ipv4.FlagInterface, true); err != nil {
		c.Close()
		return nil, fmt.Errorf("ask for the interfaces of messages: %w", err)
	}
	return p, nil
}

// Group6 is the same for IPv6, on one interface, which it has joined.
func Group6(group netip.AddrPort, i Interface, options ...Option) (*net.UDPConn, error) {
	bind := netip.AddrPortFrom(group.Addr().WithZone(i.Name), group.Port())
	return Open(bind, append(options, shared, func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
			unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
				&unix.IPv6Mreq{Multiaddr: group.Addr().As16(), Interface: uint32(i.Index)}),
		)
	})...)
}

// shared lets others have the port too. Of those, some have set one of the two
// options only.
func shared(fd int) error {
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
	)
}

// Join has a socket of [Group4] hear an interface.
func Join(c *ipv4.PacketConn, i Interface, group netip.Addr) error {
	err := c.JoinGroup(&net.Interface{Index: i.Index, Name: i.Name}, &net.UDPAddr{IP: group.AsSlice()})
	if errors.Is(err, unix.EADDRINUSE) { // it does already
		return nil
	}
	return err
}

// Outgoing has a socket send its multicasts on an interface; they live for so
// many hops. From says of which family the socket is.
func Outgoing(i Interface, from netip.Addr, hops int) Option {
	return func(fd int) error {
		if from.Is4() {
			return errors.Join(
				unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
					&unix.IPMreqn{Ifindex: int32(i.Index)}),
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, hops),
			)
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, i.Index),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hops),
		)
	}
}

// Open opens a UDP socket, sets its options and binds it. Package net cannot do
// it: what it binds to a group is bound to every address.
func Open(bind netip.AddrPort, options ...Option) (conn *net.UDPConn, err error) {
	family, address, err := sockaddr(bind)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), bind.String())
	defer f.Close() // FilePacketConn duplicates it
	for _, set := range options {
		if err := set(fd); err != nil {
			return nil, fmt.Errorf("set up the UDP socket %s: %w", bind, err)
		}
	}
	if err := unix.Bind(fd, address); err != nil {
		return nil, fmt.Errorf("bind a UDP socket to %s: %w", bind, err)
	}
	// As much as there is; less is no fault.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	return c.(*net.UDPConn), nil
}

func sockaddr(a netip.AddrPort) (family int, to unix.Sockaddr, err error) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	six := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		i, err := net.InterfaceByName(zone)
		if err != nil {
			return 0, nil, fmt.Errorf("interface %s: %w", zone, err)
		}
		six.ZoneId = uint32(i.Index)
	}
	return unix.AF_INET6, six, nil
}

// Passing tells whether a socket can be read again after an error: the kernel
// says so what became of messages that were sent.
func Passing(err error) bool {
	for _, e := range []error{
		unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.ENETDOWN, unix.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
