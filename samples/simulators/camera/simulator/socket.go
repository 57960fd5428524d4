package simulator

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Groups of WS-Discovery (2.4).
var (
	group4 = netip.MustParseAddr("239.255.255.250")
	group6 = netip.MustParseAddr("ff02::c")
)

// groupOf is the group for cameras with addresses of this family.
func groupOf(address netip.Addr) netip.Addr {
	if address.Is4() {
		return group4
	}
	return group6
}

// openUDP opens a UDP socket at exactly this address, which others may use too.
// Package net would listen at all addresses when it is a group's, and take what
// is meant for others. A socket of a group joins it on the interface; any other
// sends its multicasts there.
func openUDP(at netip.AddrPort, on *net.Interface) (*net.UDPConn, error) {
	conn, err := tryOpenUDP(at, on)
	if err != nil {
		return nil, fmt.Errorf("UDP socket %s on %s: %w", at, on.Name, err)
	}
	return conn, nil
}

func tryOpenUDP(at netip.AddrPort, on *net.Interface) (*net.UDPConn, error) {
	family := unix.AF_INET6
	var bind unix.Sockaddr = &unix.SockaddrInet6{
		Port: int(at.Port()), Addr: at.Addr().As16(), ZoneId: zone(at.Addr(), on),
	}
	if at.Addr().Is4() {
		family = unix.AF_INET
		bind = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "udp")
	defer file.Close() // FilePacketConn has its own
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, bind); err != nil {
		return nil, err
	}
	if err := multicast(fd, at.Addr(), on); err != nil {
		return nil, err
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func multicast(fd int, address netip.Addr, on *net.Interface) error {
	switch {
	case address.Is4() && address.IsMulticast():
		// Else it hears what other sockets have joined on other interfaces.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
			return err
		}
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: address.As4(), Ifindex: int32(on.Index)})
	case address.Is4():
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
			&unix.IPMreqn{Ifindex: int32(on.Index)})
	case address.IsMulticast():
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
			&unix.IPv6Mreq{Multiaddr: address.As16(), Interface: uint32(on.Index)})
	default:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, on.Index)
	}
}

// zone is what the kernel needs to know of a link-local address.
func zone(address netip.Addr, on *net.Interface) uint32 {
	if address.IsLinkLocalUnicast() || address.IsLinkLocalMulticast() {
		return uint32(on.Index)
	}
	return 0
}
