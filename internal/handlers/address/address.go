// Package address has what handlers of the network must know of addresses that
// strangers or Configurations name: which of them are called, and how.
package address

import (
	"net/netip"
	"slices"
)

// metadata are the addresses at which clouds give machines their credentials.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // AWS, Azure, Google, OpenStack and others
	netip.MustParseAddr("169.254.170.2"),   // AWS ECS
	netip.MustParseAddr("169.254.170.23"),  // AWS EKS
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd00:ec2::23"),    // AWS EKS
	netip.MustParseAddr("fd20:ce::254"),    // Google
}

// Metadata reports whether a cloud's metadata service is at an address, or behind
// it by way of a translator. No device is there.
func Metadata(ip netip.Addr) bool { return slices.Contains(metadata, Plain(ip)) }

// Plain returns an address as it is compared: without a zone, and the address of
// IPv4 for one of IPv6 by which translators reach it (RFC 6052, section 2.1; RFC
// 3056; RFC 4291, section 2.5.5).
func Plain(ip netip.Addr) netip.Addr {
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
