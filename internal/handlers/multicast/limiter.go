package multicast

import (
	"net/netip"
	"time"
)

// Limits of what is read. A device sends a message when it is asked; a node that
// has many Configurations asks a few times in a second.
const (
	sourceBurst, sourceRate = 512, 32    // messages at once, and per second, of one source
	totalBurst, totalRate   = 8192, 1024 // of all, beside what each may in any case
	leastBurst, leastRate   = 8, 1       // of one source in any case
	maxLimited              = 4096       // sources that are remembered
	// settledAfter is after how long a source is one that was there before, which is
	// remembered for as long when it is silent: devices say their addresses every two
	// minutes.
	settledAfter = 3 * time.Minute
)

// Limiter decides whose messages are read: 512 of one sender at once and 32 in a
// second, 8192 and 1024 of all. Whatever all send, one that sends little is read,
// unless there are too many senders; then those that were there before are. It is
// for one goroutine at a time.
type Limiter struct {
	total   bucket
	sources map[netip.Addr]*sender
	forgot  time.Time
}

// sender is what one source may.
type sender struct {
	since        time.Time
	whole, least bucket
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
		l.sources = make(map[netip.Addr]*sender)
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
		b = &sender{since: now}
		l.sources[source] = b
	}
	return b.whole.take(now, sourceBurst, sourceRate) &&
		(b.least.take(now, leastBurst, leastRate) || l.total.take(now, totalBurst, totalRate))
}

// forget drops sources whose buckets are full again, of those that were there before
// the silent ones.
func (l *Limiter) forget(now time.Time) {
	for source, b := range l.sources {
		silent := now.Sub(b.whole.at)
		settled := b.whole.at.Sub(b.since) >= settledAfter
		if settled && silent >= settledAfter ||
			!settled && b.whole.left+silent.Seconds()*sourceRate >= sourceBurst {
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
