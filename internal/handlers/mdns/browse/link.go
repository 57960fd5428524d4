// Package browse is what a querier of Multicast DNS (RFC 6762) knows of the
// services on one network interface, and what it asks next. It only decides: it
// opens no socket, reads no clock and starts no goroutine.
//
// A [Link] is told which service types are wanted and which records were heard.
// It keeps only what leads to these services: the PTR records of the types, the
// SRV and TXT records of the instances that they name, and the addresses of the
// hosts that these name. All of it ends with its time to live unless it is heard
// again, and is asked for before that.
package browse

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
)

const (
	// MaxInstances is how many services there are in all, MaxPerLink how many on one
	// interface, so that who fills one network leaves some to the others, and
	// MaxPerSource how many that were heard first from one address. A gateway that
	// repeats what it hears from another network is one address.
	MaxInstances, MaxPerLink, MaxPerSource = 4096, 3072, 512
	// maxAddresses is how many addresses a host has.
	maxAddresses = 8
	// maxText is how much of a TXT record is kept, in bytes; more than 1300 does not
	// fit into a packet (RFC 6763, section 6.2).
	maxText = 2048
)

// Census counts the services of all links. The zero value can be used.
type Census struct {
	total   int
	sources map[netip.Addr]int
}

func (c *Census) enter(source netip.Addr) bool {
	if c.total >= MaxInstances || c.sources[source] >= MaxPerSource {
		return false
	}
	if c.sources == nil {
		c.sources = make(map[netip.Addr]int)
	}
	c.total++
	c.sources[source]++
	return true
}

func (c *Census) leave(source netip.Addr) {
	c.total--
	if c.sources[source]--; c.sources[source] <= 0 {
		delete(c.sources, source)
	}
}

// Link is one network interface. It is for one goroutine at a time.
type Link struct {
	name   string
	own    []netip.Prefix
	census *Census
	jitter float64 // of refreshes

	types     map[string]*kind // by [dnsmsg.Name.Key], as all of these
	instances map[string]*instance
	hosts     map[string]*host
	wake      time.Time // nothing is to be done before
	rest      time.Time // nothing is done before
	together  time.Time // when the series begin that began to wait last
}

// kind is a service type that is wanted, perhaps with a subtype.
type kind struct {
	name   dnsmsg.Name // what is asked for
	base   string      // the key of the type, with which instances end
	series series
	// notBefore is when it may be asked for the next time because a service ends, and
	// nextDoubt because of a good-bye that may be false.
	notBefore, nextDoubt time.Time
}

// rest returns until when a record of the type is not asked for.
func (k *kind) rest(p *life) time.Time {
	switch {
	case p.contested:
		return k.nextDoubt
	case p.bye:
		return time.Time{}
	}
	return k.notBefore
}

// instance is a service that some type lists.
type instance struct {
	name   dnsmsg.Name
	source netip.Addr // that it counts for
	listed map[*kind]*life

	srv    life
	target dnsmsg.Name
	port   uint16
	host   *host // of target; nil without an SRV record
	askSRV series

	txt    life
	text   string
	askTXT series
}

// host is a host that some instance is on.
type host struct {
	name      dnsmsg.Name
	instances int
	addresses []*located
	ask       series
}

type located struct {
	life
	addr netip.Addr
}

// NewLink makes a link that knows nothing. name is the interface's, which is the
// zone of addresses of the link.
func NewLink(name string, c *Census) *Link {
	return &Link{
		name: name, census: c, jitter: rand.Float64() * refreshJitter,
		types: map[string]*kind{}, instances: map[string]*instance{}, hosts: map[string]*host{},
	}
}

// SetAddresses tells the link which addresses the node has on it.
func (l *Link) SetAddresses(own []netip.Prefix) { l.own = own }

// Wanted is a service type to look for.
type Wanted struct {
	// Name is what is asked for: _ipp._tcp.local, or with a subtype
	// _universal._sub._ipp._tcp.local.
	Name dnsmsg.Name
	// Base is what the names of its services end with: Name without the subtype.
	Base dnsmsg.Name
}

// Want has the link look for these types and no others. What it knows of others is
// forgotten.
func (l *Link) Want(types []Wanted, now time.Time) {
	keep := map[string]bool{}
	for _, w := range types {
		key := w.Name.Key()
		keep[key] = true
		if l.types[key] == nil {
			k := &kind{name: w.Name, base: w.Base.Key()}
			k.series.begin(l.beginning(now))
			l.types[key] = k
			l.soon(k.series.next)
		}
	}
	for key, k := range l.types {
		if keep[key] {
			continue
		}
		delete(l.types, key)
		for _, i := range l.instances {
			delete(i.listed, k)
			if len(i.listed) == 0 {
				l.forget(i)
			}
		}
	}
}

// Forget drops all that is known.
func (l *Link) Forget() {
	for _, i := range l.instances {
		l.forget(i)
	}
	clear(l.types)
}

// forget drops an instance.
func (l *Link) forget(i *instance) {
	l.moveTo(i, "")
	l.census.leave(i.source)
	delete(l.instances, i.name.Key())
}

// moveTo has an instance be on another host, or on none.
func (l *Link) moveTo(i *instance, target dnsmsg.Name) {
	was := i.host
	i.host, i.target = nil, target
	if target != "" {
		key := target.Key()
		if l.hosts[key] == nil {
			l.hosts[key] = &host{name: target}
		}
		i.host = l.hosts[key]
		i.host.instances++
	}
	if was == nil { // after that, since it may be the same
		return
	}
	if was.instances--; was.instances == 0 {
		delete(l.hosts, was.name.Key())
	}
}

// soon has something be done at a time.
func (l *Link) soon(at time.Time) {
	if !at.IsZero() && (l.wake.IsZero() || at.Before(l.wake)) {
		l.wake = at
	}
}

// Next returns when [Link.Due] has something to do; zero if never.
func (l *Link) Next() time.Time {
	if !l.wake.IsZero() && l.wake.Before(l.rest) {
		return l.rest
	}
	return l.wake
}

// beginning returns when a series begins: together with others, so that what they
// ask goes into one message.
func (l *Link) beginning(now time.Time) time.Time {
	if !l.together.After(now) {
		l.together = now.Add(firstDelay())
	}
	return l.together
}

// Again has all types be asked for as at the beginning, since the network may be
// another. What is known ends when it would.
func (l *Link) Again(now time.Time) {
	for _, k := range l.types {
		k.series = series{}
		k.series.begin(l.beginning(now))
		l.soon(k.series.next)
	}
}

// Knows tells whether a type has been asked for as often as is needed to know what
// there is: twice, and its answers have had their time.
func (l *Link) Knows(name dnsmsg.Name) bool {
	k := l.types[name.Key()]
	return k != nil && k.series.asked > 2
}

// Service is a service as it is known.
type Service struct {
	Name  dnsmsg.Name
	Host  dnsmsg.Name
	Port  uint16
	Text  string // its TXT record, as it was sent
	Since time.Time
	// Leaving says that it has said good-bye, and will be gone in a second.
	Leaving   bool
	Addresses []Address // first the one that was heard first, last what will be gone in a second
	Link      string
}

// Address is an address of a service's host.
type Address struct {
	netip.Addr
	// Near says that it is one of the link's own networks.
	Near bool
}

// Services returns the services of some types, by their names as [Wanted.Name],
// and how many more there are whose hosts do not say what they were asked.
func (l *Link) Services(types []dnsmsg.Name) (list []Service, mute int) {
	var wanted []*kind
	for _, n := range types {
		if k := l.types[n.Key()]; k != nil {
			wanted = append(wanted, k)
		}
	}
	for _, i := range l.instances {
		var from *life
		for _, k := range wanted {
			if p := i.listed[k]; p != nil && (from == nil || from.bye) {
				from = p
			}
		}
		switch {
		case from == nil:
		case i.complete():
			list = append(list, Service{
				Name: i.name, Host: i.target, Port: i.port, Text: i.text, Since: from.since,
				Leaving: from.bye || i.srv.bye, Addresses: l.addresses(i.host), Link: l.name,
			})
		case i.mute():
			mute++
		}
	}
	return list, mute
}

// tries is how often something is asked for before it is taken that there is no
// answer. A service without a TXT record, which it should have (RFC 6763, section
// 6), counts then.
const tries = 3

// complete tells whether all is known of the instance.
func (i *instance) complete() bool {
	return i.srv.there() && i.port != 0 && len(i.host.addresses) > 0 && (i.txt.there() || i.askTXT.asked >= tries)
}

// mute tells whether the instance's host does not say where it is, though it was
// asked. One with port 0 only has its name, and no service is there (RFC 6763,
// section 8.5).
func (i *instance) mute() bool {
	return i.askSRV.asked >= tries || i.srv.there() && i.port != 0 && i.host.ask.asked >= tries
}

func (l *Link) addresses(h *host) (list []Address) {
	// One that leaves comes last, but only if it says so itself: whoever takes the
	// place of a host that is there must wait until that has not answered.
	leaves := func(a *located) bool { return a.bye && !a.contested }
	known := slices.SortedStableFunc(slices.Values(h.addresses), func(a, b *located) int {
		if leaves(a) != leaves(b) {
			if leaves(a) {
				return 1
			}
			return -1
		}
		return a.since.Compare(b.since)
	})
	for _, a := range known {
		addr := a.addr
		if addr.Is6() && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(l.name)
		}
		near := a.addr.IsLinkLocalUnicast() ||
			slices.ContainsFunc(l.own, func(p netip.Prefix) bool { return p.Contains(a.addr) })
		list = append(list, Address{addr, near})
	}
	return list
}
