// Package air is what the handler mdns hears and says on the networks of this
// node: sockets for Multicast DNS (RFC 6762) on each interface, for IPv4 and IPv6.
//
// Port 5353 is shared with whoever else has it, such as avahi-daemon and
// systemd-resolved. The sockets are bound to the groups' addresses: they hear what
// is sent to all, send from port 5353, as they must, and take nothing that is sent
// to the node alone.
package air

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

// Port is that of Multicast DNS.
const Port = 5353

// The groups to which all is sent.
var (
	group4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), Port)
	group6 = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb}), Port)
)

// hops is how many hops messages live (RFC 6762, section 11). They never leave the
// link, since routers do not pass on these groups.
const hops = 255

// MaxQuery is how long a message may be so that it fits into a packet of 1500
// bytes, also of IPv6.
const MaxQuery = 1440

// Heard is an answer and how it came.
type Heard struct {
	Records   []dnsmsg.Record
	From      netip.Addr // without a zone
	Interface int        // its index
	Via       browse.Family
	At        time.Time
}

// Drop is why a message was not passed on.
type Drop string

// The reasons.
const (
	Flood     Drop = "flood"     // its sender, or all together, sent too much
	Malformed Drop = "malformed" // it cannot be read
	Foreign   Drop = "foreign"   // it is not from this link, or not from port 5353
)

// Options are what an Air is to do. All functions must return soon, but for Heard,
// which may wait: then the kernel keeps what comes, as far as it has room.
type Options struct {
	// Heard gets the answers, from several goroutines.
	Heard func(Heard)
	// Changed is told that the node's network interfaces may have changed.
	Changed func()
	// Dropped is told of messages that were not passed on.
	Dropped func(from netip.Addr, why Drop, err error)
	Log     *slog.Logger
}

// Air is the networks of this node.
type Air struct {
	options Options
	watch   *multicast.Watch // nil if the kernel does not tell of changes
	reading sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	group   *ipv4.PacketConn // for all interfaces; nil while none needs it
	places  map[int]*place   // by the interface's index
	limiter multicast.Limiter
}

// place is what is open on one interface.
type place struct {
	multicast.Interface
	from4   netip.Addr // what questions over IPv4 are sent from; invalid if it has none
	group6  *net.UDPConn
	private map[browse.Family]*net.UDPConn
}

// New opens nothing yet but a way to hear of changes.
func New(o Options) *Air {
	a := &Air{options: o, places: make(map[int]*place)}
	var err error
	if a.watch, err = multicast.NewWatch(o.Changed); err != nil {
		o.Log.Warn("interfaces that come later are not heard of", "error", err)
	}
	return a
}

// Close closes all, and returns when nothing is passed on any more. Heard must not
// wait for what calls it.
func (a *Air) Close() {
	if a.watch != nil {
		a.watch.Close()
	}
	a.mu.Lock()
	a.closed = true
	for index := range a.places {
		a.leave(index)
	}
	if a.group != nil {
		a.group.Close()
	}
	a.mu.Unlock()
	a.reading.Wait()
}

// Interfaces returns the node's network interfaces.
func (a *Air) Interfaces() ([]multicast.Interface, error) { return multicast.Interfaces() }

// Listen has the air hear on these interfaces and no others. What cannot be opened
// is said in err; it is tried again by the next call.
func (a *Air) Listen(interfaces []multicast.Interface) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return net.ErrClosed
	}
	for index, p := range a.places {
		if !slices.ContainsFunc(interfaces, func(i multicast.Interface) bool { return i.Index == index && i.Name == p.Name }) {
			a.leave(index)
		}
	}
	var problems []error
	for _, i := range interfaces {
		p := a.places[i.Index]
		if p == nil {
			p = &place{private: make(map[browse.Family]*net.UDPConn)}
			a.places[i.Index] = p
		}
		p.Interface = i
		if err := a.join(p); err != nil {
			problems = append(problems, fmt.Errorf("interface %s: %w", i.Name, err))
		}
	}
	return errors.Join(problems...)
}

// join has an interface be heard over the versions of IP that it has addresses of.
func (a *Air) join(p *place) error {
	p.from4 = netip.Addr{}
	six := false
	var problems []error
	for _, from := range p.Sources() {
		switch {
		case from.Is6():
			six = true
		case !p.from4.IsValid():
			p.from4 = from
		}
	}
	if p.from4.IsValid() {
		problems = append(problems, a.join4(p.Interface))
	}
	if !six && p.group6 != nil {
		p.group6.Close()
		p.group6 = nil
	}
	if six && p.group6 == nil {
		from := netip.IPv6Unspecified()
		c, err := multicast.Group6(group6, p.Interface, multicast.Outgoing(p.Interface, from, hops))
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
		p.group6 = c
		index := p.Index
		a.reading.Go(func() { a.read(c, index, browse.V6, false) })
	}
	return errors.Join(problems...)
}

func (a *Air) join4(i multicast.Interface) error {
	if a.group == nil {
		c, err := multicast.Group4(group4)
		if err != nil {
			return err
		}
		if err := c.SetMulticastTTL(hops); err != nil {
			c.Close()
			return fmt.Errorf("set the hops of messages: %w", err)
		}
		a.group = c
		a.reading.Go(func() { a.readGroup(c) })
	}
	return multicast.Join(a.group, i, group4.Addr())
}

// leave closes what is open on an interface.
func (a *Air) leave(index int) {
	p := a.places[index]
	delete(a.places, index)
	if a.group != nil {
		// Fails if the interface is gone, and then it is not heard anyway.
		_ = a.group.LeaveGroup(&net.Interface{Index: index, Name: p.Name}, &net.UDPAddr{IP: group4.Addr().AsSlice()})
	}
	if p.group6 != nil {
		p.group6.Close()
	}
	for _, c := range p.private {
		c.Close()
	}
}

// Send sends a message to all on an interface, over one version of IP. It does
// nothing where the interface does not have that.
func (a *Air) Send(index int, via browse.Family, message []byte) error {
	a.mu.Lock()
	p := a.places[index]
	group := a.group
	a.mu.Unlock()
	if p == nil {
		return nil
	}
	var err error
	switch {
	case via == browse.V4 && p.from4.IsValid() && group != nil:
		how := &ipv4.ControlMessage{IfIndex: index, Src: p.from4.AsSlice()}
		_, err = group.WriteTo(message, how, net.UDPAddrFromAddrPort(group4))
	case via == browse.V6 && p.group6 != nil:
		_, err = p.group6.WriteToUDPAddrPort(message, netip.AddrPortFrom(group6.Addr().WithZone(p.Name), Port))
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Speaks tells whether an interface is used with a version of IP.
func (a *Air) Speaks(index int, via browse.Family) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.places[index]
	return p != nil && (via == browse.V4 && p.from4.IsValid() || via == browse.V6 && p.group6 != nil)
}

// take judges a message, and passes it on if it is of use. private says that it was
// sent to this node alone.
func (a *Air) take(datagram []byte, from netip.AddrPort, index int, via browse.Family, private bool) {
	now := time.Now()
	if !dnsmsg.IsAnswer(datagram) {
		return // ours, or another's who asks
	}
	source := from.Addr().Unmap().WithZone("")
	a.mu.Lock()
	p := a.places[index]
	allowed := p != nil && a.limiter.Allow(source, now)
	a.mu.Unlock()
	switch {
	case p == nil:
		return
	case !allowed:
		a.options.Dropped(source, Flood, nil)
		return
	case from.Port() != Port || private && !near(p, source): // RFC 6762, sections 6 and 11
		a.options.Dropped(source, Foreign, errors.New("it does not come from port 5353 of a machine of this link"))
		return
	}
	records, err := dnsmsg.Parse(bytes.Clone(datagram))
	if err != nil {
		a.options.Dropped(source, Malformed, err)
		return
	}
	a.options.Heard(Heard{Records: records, From: source, Interface: index, Via: via, At: now})
}

func near(p *place, a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || slices.ContainsFunc(p.Prefixes, func(n netip.Prefix) bool { return n.Contains(a) })
}
