package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"
)

// delay is the random time before an answer to a multicast, and before Hello.
func (s *Simulator) delay() time.Duration {
	if s.options.MaxDelay <= 0 {
		return 0
	}
	return rand.N(s.options.MaxDelay)
}

// repeatDelay is the time before a message is sent again (SOAP-over-UDP:
// UDP_MIN_DELAY to UDP_MAX_DELAY).
func repeatDelay() time.Duration { return 50*time.Millisecond + rand.N(200*time.Millisecond) }

// hears returns the camera's endpoint that hears a socket, or nil.
func (c *Camera) hears(at *socket) *endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.endpoints {
		if e.hears == at || e.sends == at {
			return e
		}
	}
	return nil
}

// target is what it says of itself.
func (c *Camera) target() target {
	c.mu.Lock()
	defer c.mu.Unlock()
	return target{
		reference: c.Reference(), types: deviceTypes, scopes: c.scopes(), xaddrs: c.xaddrs(), version: c.version,
	}
}

func (c *Camera) scopes() []string { return scopesOf(c.Identity, c.sim.options.Scopes) }

func (c *Camera) sequence() sequence {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sequence{instance: c.instance, number: c.messages.Add(1)}
}

// ask answers a question that came to an endpoint, by multicast or not.
func (c *Camera) ask(q question, from netip.AddrPort, via *endpoint, multicast bool) {
	t, faults := c.target(), c.Faults()
	var reply func(target, string, sequence) []byte
	var delay time.Duration
	switch {
	case q.probe != nil && q.probe.matches(t.types, t.scopes):
		reply = probeMatches
		if multicast {
			delay = c.sim.delay()
		}
		c.counts.add("Probe")
	case q.probe == nil && strings.EqualFold(q.resolve, t.reference):
		reply = resolveMatches
		c.counts.add("Resolve")
	default:
		return
	}
	if faults.Silent {
		return
	}
	delay += faults.Slow
	if faults.Flood > 0 {
		c.sim.later.do(delay+1, func() { c.flood(faults.Flood, q.id, from, via) })
	}
	var data []byte
	switch {
	case faults.Garbage:
		data = garbage(1200)
	case faults.Bomb:
		data = bomb()
	default:
		data = reply(t, q.id, c.sequence())
	}
	c.send(via, from, data, delay)
}

// flood sends answers of cameras that there are not.
func (c *Camera) flood(n int, relatesTo string, to netip.AddrPort, via *endpoint) {
	t := c.target()
	for i := range n {
		if !c.has(via) {
			return
		}
		t.reference = newReference()
		t.xaddrs = []string{fmt.Sprintf("http://198.51.100.%d:%d/onvif/device_service", i%250+1, i/250+1)}
		_ = via.sends.send(probeMatches(t, relatesTo, c.sequence()), to)
	}
}

// Hello says Hello at once, if it runs and is not silent.
func (c *Camera) Hello() {
	if !c.Faults().Silent {
		c.announce(hello(c.target(), c.sequence()), true)
	}
}

// sayBye says Bye once, and whether it did.
func (c *Camera) sayBye() bool {
	if c.Faults().Silent {
		return false
	}
	return c.announce(bye(c.target(), c.sequence()), false)
}

// announce multicasts from all endpoints, and says whether there was one.
func (c *Camera) announce(data []byte, again bool) bool {
	c.mu.Lock()
	endpoints := c.endpoints
	c.mu.Unlock()
	for _, e := range endpoints {
		if e.hears == nil {
			continue // its interface has no multicast
		}
		to := e.hears.key.at
		if to.Addr().Is6() {
			to = netip.AddrPortFrom(to.Addr().WithZone(e.on.Name), to.Port())
		}
		if again {
			c.send(e, to, data, 0)
		} else if err := e.sends.send(data, to); err != nil {
			c.sim.log.Warn("a camera cannot multicast", "number", c.Number, "to", to, "error", err)
		}
	}
	return len(endpoints) > 0
}

// send sends after a delay, and once more unless Options.Once; not when the
// endpoint is gone by then.
func (c *Camera) send(via *endpoint, to netip.AddrPort, data []byte, delay time.Duration) {
	once := func() {
		if !c.has(via) {
			return
		}
		if err := via.sends.send(data, to); err != nil && !errors.Is(err, net.ErrClosed) {
			c.sim.log.Warn("a camera cannot send", "number", c.Number, "to", to, "error", err)
		}
	}
	c.sim.later.do(delay, once)
	if !c.sim.options.Once {
		c.sim.later.do(delay+repeatDelay(), once)
	}
}

// has says whether an endpoint is still the camera's.
func (c *Camera) has(e *endpoint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.endpoints {
		if own == e {
			return true
		}
	}
	return false
}
