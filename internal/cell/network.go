package cell

import (
	"fmt"
	"net"
	"net/netip"
)

const (
	// MaxLabs is how many labs one machine can run at once: each has a /16 out of
	// 10.208.0.0/12, which few networks use.
	MaxLabs = 16
	// MaxMembers is how many members a lab can have.
	MaxMembers = 32
)

// Network says which addresses a lab uses. They follow from its index.
//
//	10.x.0.0/24  machine .1, hub .2, member n .10+n
//
// The rest of 10.x.0.0/16 is for what runs in the lab.
type Network struct {
	Index int // 0 to MaxLabs-1
}

// Addr is the address 10.x.third.fourth.
func (n Network) Addr(third, fourth int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(208 + n.Index), byte(third), byte(fourth)})
}

// Prefix is the range that begins at 10.x.third.0.
func (n Network) Prefix(third, bits int) netip.Prefix {
	return netip.PrefixFrom(n.Addr(third, 0), bits)
}

// All is the range that holds every address of the lab.
func (n Network) All() netip.Prefix { return n.Prefix(0, 16) }

// Cells is the range of the machine, the hub and the members.
func (n Network) Cells() netip.Prefix { return n.Prefix(0, 24) }

// Host is the machine's address in the lab's network.
func (n Network) Host() netip.Addr { return n.Addr(0, 1) }

// Hub is the address of the hub.
func (n Network) Hub() netip.Addr { return n.Addr(0, 2) }

// Member is the address of a member, counted from 1.
func (n Network) Member(number int) netip.Addr { return n.Addr(0, 10+number) }

// Interface is the name of the machine's interface to the lab.
func (n Network) Interface() string { return fmt.Sprintf("akri%d", n.Index) }

// NetNS is the name, as `ip netns` shows it, of a cell's network namespace.
func (n Network) NetNS(cell string) string { return fmt.Sprintf("akri%d-%s", n.Index, cell) }

// Cgroup is the path of the lab's cgroup below the root of a tree.
func (n Network) Cgroup() string { return fmt.Sprintf("/akri-dev-%d", n.Index) }

// cellAddr is an address with the length of the cells' network, as `ip addr`
// takes it.
func (n Network) cellAddr(a netip.Addr) string {
	return netip.PrefixFrom(a, n.Cells().Bits()).String()
}

// hardwareAddr is the locally administered link-layer address of the interface
// with address a. An interface that is made again has the same, like a machine
// after a power cut: peers remember addresses for a minute.
func hardwareAddr(a netip.Addr) string {
	ip := a.As4()
	return net.HardwareAddr{0x02, 0xac, ip[0], ip[1], ip[2], ip[3]}.String()
}
