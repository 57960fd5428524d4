package wsdiscovery

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/handlers/multicast"
)

// Port is that of WS-Discovery.
const Port = 3702

// The groups to which probes and announcements are sent.
var (
	group4 = netip.AddrFrom4([4]byte{239, 255, 255, 250})
	group6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x0c})
)

// probeSocket returns a socket that probes an interface from one of its
// addresses, and gets the answers.
func probeSocket(i multicast.Interface, from netip.Addr) (*net.UDPConn, error) {
	return multicast.Open(netip.AddrPortFrom(from, 0), multicast.Outgoing(i, from, 1))
}

// unicastSocket returns a socket that probes addresses of one family.
func unicastSocket(six bool) (*net.UDPConn, error) {
	if six {
		return multicast.Open(netip.AddrPortFrom(netip.IPv6Unspecified(), 0), func(fd int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		})
	}
	return multicast.Open(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
}
