package wsdiscovery

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/akri-go/akri/internal/handlers/multicast"
)

// Heard is a message and how it came.
type Heard struct {
	Message
	// From is who sent it, or says so. Link-local addresses of IPv6 have their
	// zone.
	From netip.Addr
	// Interface is where it came in; "" if it is the answer to a probe that was
	// sent to one address.
	Interface string
	// Local are the networks of that interface, among which From may be.
	Local []netip.Prefix
	At    time.Time
}

// Drop is why a message was not passed on.
type Drop string

// The reasons.
const (
	Flood     Drop = "flood"     // its sender, or all together, sent too much
	Malformed Drop = "malformed" // it cannot be read
	Unasked   Drop = "unasked"   // it answers no probe of ours
)

// Options are what an Air is to do.
type Options struct {
	// Heard gets the messages, from several goroutines. It must return soon.
	Heard func(Heard)
	// Dropped is told of those that were not passed on. It must return soon.
	Dropped func(from netip.Addr, why Drop, err error)
	// Interfaces returns the node's network interfaces; [multicast.Interfaces] if
	// nil.
	Interfaces func() ([]multicast.Interface, error)
	Log        *slog.Logger
}

// Air is the networks of this node, on which cameras are heard and probed.
type Air struct {
	options Options
	reading sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	group   *ipv4.PacketConn // what is sent to the group of IPv4; nil while no interface needs it
	links   map[link]*place
	unicast [2 * unicastSockets]*net.UDPConn // for IPv4, then for IPv6
	limiter multicast.Limiter
	sent    memory // ids of probes
	seen    memory // senders and ids of announcements
}

// link is one address of one interface.
type link struct {
	index int
	name  string
	from  netip.Addr
}

// place is what is open for a link.
type place struct {
	probe  *net.UDPConn
	group6 *net.UDPConn // nil for IPv4
	local  []netip.Prefix
}

// NewAir opens nothing yet: an interface is listened to once it is probed.
func NewAir(o Options) *Air {
	if o.Interfaces == nil {
		o.Interfaces = multicast.Interfaces
	}
	return &Air{
		options: o, links: make(map[link]*place),
		sent: memory{keep: time.Minute}, seen: memory{keep: 10 * time.Second},
	}
}

// Close closes all sockets, and returns when nothing is passed on any more.
func (a *Air) Close() {
	a.mu.Lock()
	a.closed = true
	for l := range a.links {
		a.drop(l)
	}
	if a.group != nil {
		a.group.Close()
	}
	for _, c := range a.unicast {
		if c != nil {
			c.Close()
		}
	}
	a.mu.Unlock()
	a.reading.Wait()
}

// errClosed says that an Air was closed while it was used.
var errClosed = errors.New("no longer listening")

// open has sockets for the interfaces that match the patterns, and closes those
// of interfaces that are gone. What cannot be opened is said in err.
func (a *Air) open(patterns []string) (to []target, err error) {
	all, err := a.options.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("look at the network interfaces: %w", err)
	}
	suitable := multicast.Suitable(all, patterns)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errClosed
	}
	a.forgetGone(all)
	var faults []error
	for _, i := range suitable {
		for _, from := range i.Sources() {
			l := link{i.Index, i.Name, from}
			p := a.links[l]
			if p == nil {
				p = &place{}
				if err := a.openPlace(i, l, p); err != nil {
					faults = append(faults, fmt.Errorf("interface %s: %w", i.Name, err))
					continue
				}
				a.links[l] = p
			}
			p.local = i.Prefixes
			to = append(to, target{p.probe, groupOf(from)})
		}
	}
	return to, errors.Join(faults...)
}

// groupOf returns where to send a probe from an address.
func groupOf(from netip.Addr) netip.AddrPort {
	if from.Is4() {
		return netip.AddrPortFrom(group4, Port)
	}
	return netip.AddrPortFrom(group6.WithZone(from.Zone()), Port)
}

// forgetGone closes what belongs to addresses that this node has no longer.
func (a *Air) forgetGone(all []multicast.Interface) {
	for l := range a.links {
		n := slices.IndexFunc(all, func(i multicast.Interface) bool { return i.Index == l.index && i.Name == l.name })
		if n < 0 || all[n].Flags&net.FlagUp == 0 || !slices.Contains(all[n].Sources(), l.from) {
			a.drop(l)
		}
	}
}

// drop closes what is open for a link.
func (a *Air) drop(l link) {
	p := a.links[l]
	delete(a.links, l)
	p.probe.Close()
	if p.group6 != nil {
		p.group6.Close()
	}
}

func (a *Air) openPlace(i multicast.Interface, l link, p *place) (err error) {
	if p.probe, err = probeSocket(i, l.from); err != nil {
		return err
	}
	if l.from.Is6() {
		p.group6, err = multicast.Group6(netip.AddrPortFrom(group6, Port), i)
	} else {
		err = a.joinGroup(i)
	}
	if err != nil {
		p.probe.Close()
		return err
	}
	a.read(p.probe, l.name)
	if p.group6 != nil {
		a.read(p.group6, l.name)
	}
	return nil
}

// joinGroup has the socket for the group of IPv4 hear an interface.
func (a *Air) joinGroup(i multicast.Interface) error {
	if a.group == nil {
		group, err := multicast.Group4(netip.AddrPortFrom(group4, Port))
		if err != nil {
			return err
		}
		a.group = group
		a.reading.Go(func() { a.readGroup(group) })
	}
	return multicast.Join(a.group, i, group4)
}

// read passes on what comes to a socket of one interface ("" for any).
func (a *Air) read(c *net.UDPConn, name string) {
	a.reading.Go(func() {
		buffer := make([]byte, MaxMessage+1)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				a.take(buffer[:n], from.Addr(), name)
			} else if !multicast.Passing(err) {
				a.options.Log.Warn("no longer listening on a socket", "interface", name, "error", err)
				return
			}
		}
	})
}

func (a *Air) readGroup(c *ipv4.PacketConn) {
	buffer := make([]byte, MaxMessage+1)
	for {
		n, control, from, err := c.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if multicast.Passing(err) {
				continue
			}
			a.options.Log.Warn("no longer listening for announcements", "error", err)
			return
		}
		source, ok := from.(*net.UDPAddr)
		if !ok || control == nil {
			continue
		}
		a.take(buffer[:n], source.AddrPort().Addr(), a.nameOf(control.IfIndex))
	}
}

// nameOf returns the name of an interface that is listened to; "" if it is none.
func (a *Air) nameOf(index int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.links {
		if l.index == index {
			return l.name
		}
	}
	return ""
}

// take judges a message, and passes it on if it is of use.
func (a *Air) take(datagram []byte, from netip.Addr, name string) {
	now := time.Now()
	from = from.Unmap()
	a.mu.Lock()
	ok := a.limiter.Allow(from.WithZone(""), now)
	a.mu.Unlock()
	if !ok {
		a.options.Dropped(from, Flood, nil)
		return
	}
	m, err := Parse(datagram)
	if errors.Is(err, ErrOther) {
		return // ours, or another's who probes
	}
	if err != nil {
		a.options.Dropped(from, Malformed, err)
		return
	}
	h := Heard{Message: m, From: from, Interface: name, At: now}
	a.mu.Lock()
	switch {
	case m.Kind == ProbeMatches && !a.sent.has(m.RelatesTo, now):
		ok = false
		err = errors.New("it answers no probe of ours")
	case m.Kind != ProbeMatches && m.ID != "" && !a.seen.add(from.String()+" "+m.ID, now):
		ok = false // sent twice, as SOAP-over-UDP has it
	}
	for l, p := range a.links {
		if l.name == name && name != "" {
			h.Local = p.local
			break
		}
	}
	a.mu.Unlock()
	switch {
	case err != nil:
		a.options.Dropped(from, Unasked, err)
	case ok:
		a.options.Heard(h)
	}
}
