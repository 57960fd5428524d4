package air

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

// privateTime is for how long answers to this node alone are awaited: those to a
// question take half a second at most (RFC 6762, section 6).
const privateTime = time.Second

// Private tells whether answers may be asked for that only this node gets, over a
// version of IP. That is so if nobody else on the node has the port: of several,
// only one would get them (RFC 6762, section 15.1). For some time they are heard
// then; that keeps nobody from sharing the port.
func (a *Air) Private(index int, via browse.Family) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.places[index]
	if a.closed || p == nil {
		return false
	}
	if p.private[via] != nil {
		return true
	}
	from := p.from4
	if via == browse.V6 {
		from = netip.Addr{}
		for _, s := range p.Sources() {
			if s.Is6() {
				from = s
			}
		}
	}
	if !from.IsValid() {
		return false
	}
	c, err := multicast.Open(netip.AddrPortFrom(from, Port)) // fails if there is another
	if err != nil {
		return false
	}
	if err := share(c); err != nil || c.SetReadDeadline(time.Now().Add(privateTime)) != nil {
		c.Close()
		return false
	}
	p.private[via] = c
	a.reading.Go(func() {
		a.read(c, index, via, true)
		a.mu.Lock()
		defer a.mu.Unlock()
		c.Close()
		if p.private[via] == c {
			delete(p.private, via)
		}
	})
	return true
}

// share lets others have the port of a socket that has it already.
func share(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var problem error
	err = raw.Control(func(fd uintptr) { problem = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	return errors.Join(err, problem)
}

// read passes on what comes to a socket of one interface.
func (a *Air) read(c *net.UDPConn, index int, via browse.Family, private bool) {
	buffer := make([]byte, dnsmsg.MaxMessage+1)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buffer)
		switch {
		case err == nil:
			a.take(buffer[:n], from, index, via, private)
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return
		case !multicast.Passing(err):
			a.options.Log.Warn("no longer listening on a socket", "address", c.LocalAddr(), "error", err)
			return
		}
	}
}

// readGroup passes on what comes to the group of IPv4.
func (a *Air) readGroup(c *ipv4.PacketConn) {
	buffer := make([]byte, dnsmsg.MaxMessage+1)
	for {
		n, control, from, err := c.ReadFrom(buffer)
		switch source, ok := from.(*net.UDPAddr); {
		case err == nil && ok && control != nil:
			a.take(buffer[:n], source.AddrPort(), control.IfIndex, browse.V4, false)
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		case !multicast.Passing(err):
			a.options.Log.Warn("no longer listening for announcements over IPv4", "error", err)
			return
		}
	}
}
