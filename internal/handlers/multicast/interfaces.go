// Package multicast has what handlers share that hear devices by multicast: which
// of the node's network interfaces to use and when they change, sockets that do
// not get in the way of other programs on the node, and limits on what one sender
// may cost.
package multicast

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// maxInterfaces is how many are used: a socket may join 20 groups
// (net.ipv4.igmp_max_memberships).
const maxInterfaces = 16

// maxSources is how many addresses of an interface are sent from.
const maxSources = 4

// Interface is a network interface of this node.
type Interface struct {
	Name  string
	Index int
	Flags net.Flags
	// Prefixes are its addresses with their networks.
	Prefixes []netip.Prefix
}

// Interfaces returns those of this node.
func Interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	list := make([]Interface, 0, len(all))
	for _, i := range all {
		n := Interface{Name: i.Name, Index: i.Index, Flags: i.Flags}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				n.Prefixes = append(n.Prefixes, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
			}
		}
		list = append(list, n)
	}
	return list, nil
}

// insideNode are the names, by their beginnings, of interfaces that lead to
// containers and virtual machines of this node, and of tunnels to other nodes.
var insideNode = []string{
	"veth", "cali", "cni", "docker", "br-", "flannel", "vxlan", "lxc", "lxd", "cilium", "kube", "nodelocaldns",
	"tunl", "virbr", "vnet", "tap", "podman", "weave", "antrea", "ovn", "ovs", "genev", "gre", "wg",
	"dummy", "ifb", "azv", "eni",
}

// Suitable returns the interfaces on which to look for devices: those that match
// a pattern of [path.Match]; with nil patterns all that look like a network of
// machines. They must be up, be able to multicast and have an address.
func Suitable(all []Interface, patterns []string) []Interface {
	var list []Interface
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || len(i.Sources()) == 0 || !Wanted(i.Name, patterns) {
			continue
		}
		if patterns == nil && (i.Flags&net.FlagMulticast == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0) {
			continue
		}
		list = append(list, i)
	}
	return list[:min(len(list), maxInterfaces)]
}

// NoneCalled says that no suitable interface has a name that a pattern matches, and
// which there are.
func NoneCalled(all []Interface, patterns []string) string {
	const most = 8
	var names []string
	for _, i := range Suitable(all, []string{"*"}) {
		names = append(names, i.Name)
	}
	if n := len(names) - most; n > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", n))
	}
	text := "no suitable network interface: none that is up and has an address is called " + strings.Join(patterns, " or ")
	if len(names) > 0 {
		text += "; there are " + strings.Join(names, ", ")
	}
	return text
}

// Wanted tells whether an interface of a name is one on which to look, by its
// name alone.
func Wanted(name string, patterns []string) bool {
	if patterns != nil {
		return Matches(name, patterns)
	}
	return name != "lo" &&
		!slices.ContainsFunc(insideNode, func(begin string) bool { return strings.HasPrefix(name, begin) })
}

// Matches tells whether a pattern matches the name.
func Matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// Sources are the addresses from which an interface is asked: those of IPv4, and
// the one of IPv6 that belongs to the link, with its zone.
func (i Interface) Sources() (list []netip.Addr) {
	six := false
	for _, p := range i.Prefixes {
		a := p.Addr()
		switch {
		case a.Is4() && len(list) < maxSources:
			list = append(list, a)
		case a.Is6() && a.IsLinkLocalUnicast() && !six:
			six = true
			list = append(list, a.WithZone(i.Name))
		}
	}
	return list
}
