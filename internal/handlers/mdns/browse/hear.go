package browse

import (
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

// Heard is what came of an answer.
type Heard struct {
	Changed bool // the services may be others
	Full    int  // services for which there was no room
}

// Hear takes the records of an answer. They may come in any order: those that lead
// to others are taken first.
func (l *Link) Hear(records []dnsmsg.Record, from netip.Addr, via Family, now time.Time) (h Heard) {
	for _, r := range records {
		if r.Type == dnsmsg.TypePTR {
			l.hearPTR(r, from, via, now, &h)
		}
	}
	for _, r := range records {
		if r.Type != dnsmsg.TypeSRV && r.Type != dnsmsg.TypeTXT {
			continue
		}
		if i := l.instances[r.Name.Key()]; i != nil && l.hearOf(i, r, from, via, now) {
			h.Changed = true
		}
	}
	for _, r := range records {
		if r.Type != dnsmsg.TypeA && r.Type != dnsmsg.TypeAAAA {
			continue
		}
		if k := l.hosts[r.Name.Key()]; k != nil && l.hearAddress(k, r, from, via, now) {
			h.Changed = true
		}
	}
	for _, r := range records { // what is still missing is asked for
		if i := l.instances[r.Name.Key()]; i != nil {
			l.ask(i, now)
		}
		if i := l.instances[r.Target.Key()]; i != nil && r.Type == dnsmsg.TypePTR {
			l.ask(i, now)
		}
	}
	return h
}

func (l *Link) hearPTR(r dnsmsg.Record, from netip.Addr, via Family, now time.Time, h *Heard) {
	k := l.types[r.Name.Key()]
	if k == nil || r.Target.Parent().Key() != k.base || !r.Target.Readable() {
		return
	}
	key := r.Target.Key()
	i := l.instances[key]
	if r.TTL == 0 {
		if i == nil || i.listed[k] == nil {
			return
		}
		i.listed[k].leave(from, now)
		l.soon(later(i.listed[k].next(), k.rest(i.listed[k])))
		h.Changed = true
		return
	}
	if i == nil {
		source := multicast.Source(from)
		if len(l.instances) >= MaxPerLink || !l.census.enter(source) {
			h.Full++
			return
		}
		i = &instance{name: r.Target, source: source, listed: map[*kind]*life{}}
		l.instances[key] = i
	}
	p := i.listed[k]
	if p == nil {
		p = &life{}
		i.listed[k] = p
	}
	h.Changed = h.Changed || !p.there() || p.bye
	p.renew(r.TTL, from, via, now, l.jitter)
	l.soon(p.next())
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// hearOf takes a record of an instance, of which there is one of each type: the
// last counts. It tells whether it is news.
func (l *Link) hearOf(i *instance, r dnsmsg.Record, from netip.Addr, via Family, now time.Time) (news bool) {
	p := &i.srv
	if r.Type == dnsmsg.TypeTXT {
		p = &i.txt
	}
	if r.TTL == 0 {
		if p.there() {
			p.leave(from, now)
			l.soon(p.next())
		}
		return p.there()
	}
	if r.Type == dnsmsg.TypeSRV && !r.Target.Readable() {
		r.Target, r.Port = "", 0 // no host, which says that there is no service (RFC 2782), or none that has a name
	}
	news = !p.there() || p.bye
	if r.Type == dnsmsg.TypeTXT {
		if text := clip(r.Text); text != i.text {
			i.text, news = text, true
		}
	} else if r.Port != i.port || r.Target.Key() != i.target.Key() {
		news = true
		i.port = r.Port
		l.moveTo(i, r.Target)
	}
	p.renew(r.TTL, from, via, now, l.jitter)
	l.soon(p.next())
	return news
}

// clip returns the strings of a TXT record as far as there is room for whole ones.
func clip(text []byte) string {
	n := 0
	for n < len(text) {
		next := n + 1 + int(text[n])
		if next > maxText || next > len(text) {
			break
		}
		n = next
	}
	return string(text[:n])
}

func (l *Link) hearAddress(k *host, r dnsmsg.Record, from netip.Addr, via Family, now time.Time) (news bool) {
	if r.Flush && r.TTL > 0 {
		// All that are older are others' (RFC 6762, section 10.2).
		for _, a := range k.addresses {
			if a.addr.Is4() == r.Addr.Is4() && a.addr != r.Addr && now.Sub(a.heard) > byeDelay {
				a.leave(from, now)
				l.soon(a.next())
			}
		}
	}
	n := slices.IndexFunc(k.addresses, func(a *located) bool { return a.addr == r.Addr })
	if r.TTL == 0 {
		if n >= 0 {
			k.addresses[n].leave(from, now)
			l.soon(k.addresses[n].next())
		}
		return false
	}
	if n < 0 {
		if !l.believable(r.Addr, from) || !k.makePlace() {
			return false
		}
		k.addresses = append(k.addresses, &located{addr: r.Addr})
		n, news = len(k.addresses)-1, true
		k.ask = series{}
	}
	k.addresses[n].renew(r.TTL, from, via, now, l.jitter)
	l.soon(k.addresses[n].next())
	return news
}

// makePlace tells whether a host can have another address. One that leaves makes
// place for it.
func (h *host) makePlace() bool {
	if len(h.addresses) < maxAddresses {
		return true
	}
	n := slices.IndexFunc(h.addresses, func(a *located) bool { return a.bye })
	if n >= 0 {
		h.addresses = slices.Delete(h.addresses, n, n+1)
	}
	return n >= 0
}

// believable tells whether a device may have an address. The node's own are the
// node's own services', which nobody else may name.
func (l *Link) believable(a, from netip.Addr) bool {
	own := func(a netip.Addr) bool {
		return slices.ContainsFunc(l.own, func(p netip.Prefix) bool { return p.Addr() == a.WithZone("") })
	}
	switch plain := address.Plain(a); {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return false
	case plain.IsUnspecified() || plain.IsMulticast() || plain.IsLoopback() || address.Metadata(a):
		return false
	}
	return !own(a) || own(from)
}
