package multicast

import (
	"net/netip"
	"time"
)

// Limits of what is read. A device sends a message when it is asked; a node that
// has many Configurations asks a few times in a second.
const (
	sourceBurst, sourceRate = 512, 32    // messages at once, and per second, of one source
	totalBurst, totalRate   = 8192, 1024 // of all
	maxLimited              = 4096       // sources that are remembered
)

// Limiter decides whose messages are read: 512 of one sender at once and 32 in a
// second, 8192 and 1024 of all. It is for one goroutine at a time.
type Limiter struct {
	total   bucket
	sources map[netip.Addr]*bucket
	forgot  time.Time
}

// bucket fills with time.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(now time.Time, burst, rate float64) bool {
	if b.at.IsZero() {
		b.left = burst
	} else {
		b.left = min(burst, b.left+now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// Allow tells whether a message from a source is to be read. One that sends too
// much uses up nothing of the others'.
func (l *Limiter) Allow(source netip.Addr, now time.Time) bool {
	if l.sources == nil {
		l.sources = make(map[netip.Addr]*bucket)
	}
	b := l.sources[source]
	if b == nil {
		if len(l.sources) >= maxLimited && now.Sub(l.forgot) >= time.Second { // each time is work
			l.forget(now)
			l.forgot = now
		}
		if len(l.sources) >= maxLimited {
			return false
		}
		b = &bucket{}
		l.sources[source] = b
	}
	return b.take(now, sourceBurst, sourceRate) && l.total.take(now, totalBurst, totalRate)
}

// forget drops the sources whose buckets are full again.
func (l *Limiter) forget(now time.Time) {
	for source, b := range l.sources {
		if b.left+now.Sub(b.at).Seconds()*sourceRate >= sourceBurst {
			delete(l.sources, source)
		}
	}
}

// Source is whom a message counts for: of IPv6, the network of a machine, which
// can have any number of addresses in it.
func Source(a netip.Addr) netip.Addr {
	if a = a.WithZone(""); a.Is6() && !a.IsLinkLocalUnicast() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}
