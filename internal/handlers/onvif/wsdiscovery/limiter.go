package wsdiscovery

import (
	"net/netip"
	"time"
)

// Limits of what is read. A camera sends a message a probe; a node that runs many
// Configurations probes a few times in a second.
const (
	sourceBurst, sourceRate = 512, 32    // messages at once, and per second, of one source
	totalBurst, totalRate   = 8192, 1024 // of all
	maxSources              = 4096       // that are remembered
)

// limiter decides whose messages are read. It is for one goroutine at a time.
type limiter struct {
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

// allow tells whether a message from a source is to be read. One that sends too
// much uses up nothing of the others'.
func (l *limiter) allow(source netip.Addr, now time.Time) bool {
	if l.sources == nil {
		l.sources = make(map[netip.Addr]*bucket)
	}
	b := l.sources[source]
	if b == nil {
		if len(l.sources) >= maxSources && now.Sub(l.forgot) >= time.Second { // each time is work
			l.forget(now)
			l.forgot = now
		}
		if len(l.sources) >= maxSources {
			return false
		}
		b = &bucket{}
		l.sources[source] = b
	}
	return b.take(now, sourceBurst, sourceRate) && l.total.take(now, totalBurst, totalRate)
}

// forget drops the sources whose buckets are full again.
func (l *limiter) forget(now time.Time) {
	for source, b := range l.sources {
		if b.left+now.Sub(b.at).Seconds()*sourceRate >= sourceBurst {
			delete(l.sources, source)
		}
	}
}
