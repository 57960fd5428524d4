package wsdiscovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Port is that of WS-Discovery.
const Port = 3702

// The groups to which probes and announcements are sent.
var (
	group4 = netip.AddrFrom4([4]byte{239, 255, 255, 250})
	group6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x0c})
)

// receiveBuffer holds the answers of a few hundred cameras that come at once; the
// kernel gives as much of it as net.core.rmem_max says.
const receiveBuffer = 1 << 20

// groupSocket returns a socket that hears what is sent to the group of IPv4. It
// is bound to the group's address and not to any: so it takes nothing that is
// sent to this node alone, where others may listen on the port, and it does not
// hear groups that others have joined. Interfaces are joined by join.
func groupSocket() (*net.UDPConn, error) {
	return socket(netip.AddrPortFrom(group4, Port), func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0),
		)
	})
}

// groupSocket6 is the same for IPv6, on one interface.
func groupSocket6(i Interface) (*net.UDPConn, error) {
	return socket(netip.AddrPortFrom(group6.WithZone(i.Name), Port), func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
			unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
				&unix.IPv6Mreq{Multiaddr: group6.As16(), Interface: uint32(i.Index)}),
		)
	})
}

// join has a group socket hear an interface.
func join(c *ipv4.PacketConn, i Interface) error {
	err := c.JoinGroup(&net.Interface{Index: i.Index, Name: i.Name}, &net.UDPAddr{IP: group4.AsSlice()})
	if errors.Is(err, unix.EADDRINUSE) { // it does already
		return nil
	}
	return err
}

// probeSocket returns a socket that probes an interface from one of its
// addresses, and gets the answers.
func probeSocket(i Interface, from netip.Addr) (*net.UDPConn, error) {
	return socket(netip.AddrPortFrom(from, 0), func(fd int) error {
		if from.Is4() {
			return errors.Join(
				unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
					&unix.IPMreqn{Ifindex: int32(i.Index)}),
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 1),
			)
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, i.Index),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 1),
		)
	})
}

// unicastSocket returns a socket that probes addresses of one family.
func unicastSocket(six bool) (*net.UDPConn, error) {
	from := netip.IPv4Unspecified()
	if six {
		from = netip.IPv6Unspecified()
	}
	return socket(netip.AddrPortFrom(from, 0), func(fd int) error {
		if six {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		}
		return nil
	})
}

// socket opens a UDP socket, sets its options and binds it. Package net cannot do
// it: what it binds to a group is bound to every address.
func socket(bind netip.AddrPort, set func(fd int) error) (conn *net.UDPConn, err error) {
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
	if err := set(fd); err != nil {
		return nil, fmt.Errorf("set up the UDP socket %s: %w", bind, err)
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
