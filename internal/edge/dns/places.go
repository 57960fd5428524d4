package dns

import (
	"net"
	"net/netip"
	"sync"
)

// places bounds how many queries wait for the node's resolvers, which take seconds
// where there is no network: names of the cluster are answered all the same, and no
// client has all places.
type places struct {
	mu    sync.Mutex
	all   int
	peers map[netip.Addr]int
}

// enter takes a place; false if there is none.
func (p *places) enter(peer netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxForwards || p.peers[peer] >= maxPeerForwards {
		return false
	}
	if p.peers == nil {
		p.peers = map[netip.Addr]int{}
	}
	p.all++
	p.peers[peer]++
	return true
}

func (p *places) leave(peer netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.peers[peer]--; p.peers[peer] == 0 {
		delete(p.peers, peer)
	}
}

// peerOf is the address that a client has.
func peerOf(a net.Addr) netip.Addr {
	at, _ := netip.ParseAddrPort(a.String()) // one that cannot be read shares a place with its like
	return at.Addr().Unmap()
}
