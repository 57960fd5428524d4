package wsdiscovery

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

// SOAP-over-UDP 1.1, section 3.4: a message is sent again after a random time
// between these two.
const (
	leastDelay = 50 * time.Millisecond
	mostDelay  = 250 * time.Millisecond
)

// unicastSockets is how many sockets probe addresses of one family. Of a link's
// addresses that nobody has, each holds some hundred for some seconds; so it is
// some hundred in all for which the kernel asks, well below the 1024 of its table
// of neighbours (net.ipv4.neigh.default.gc_thresh3).
const unicastSockets = 4

// perSecond is how many addresses are probed one by one in a second.
const perSecond = 512

// Where says what to probe.
type Where struct {
	// Interfaces are patterns as for [multicast.Suitable].
	Interfaces []string
	// Addresses are probed one by one.
	Addresses []netip.Addr
}

// target is where a probe goes.
type target struct {
	conn *net.UDPConn
	to   netip.AddrPort
}

// Probe sends a probe to all that Where says, and sends it again, as
// SOAP-over-UDP wants it. It returns when all is sent. Answers come later; each
// is for whoever hears, whoever has asked.
//
// An error says what could not be probed; all else was.
func (a *Air) Probe(ctx context.Context, w Where) error {
	links, err := a.open(w.Interfaces)
	if errors.Is(err, errClosed) {
		return err
	}
	faults := []error{err}
	if len(links) == 0 && len(w.Addresses) == 0 && err == nil {
		faults = append(faults, nowhere(w.Interfaces))
	}
	// Each link has a probe of its own: to one that they have seen cameras do not
	// answer again, and so not on a second link.
	probes := make([][]byte, len(links)+1)
	for i := range probes {
		probes[i] = a.newProbe()
	}
	for attempt := range 2 {
		if attempt > 0 {
			if err := backoff.Sleep(ctx, leastDelay+rand.N(mostDelay-leastDelay)); err != nil {
				return err
			}
		}
		for i, l := range links {
			_, err := l.conn.WriteToUDPAddrPort(probes[i], l.to)
			if err != nil && attempt == 0 && !errors.Is(err, net.ErrClosed) {
				faults = append(faults, fmt.Errorf("probe from %s: %w", l.conn.LocalAddr(), err))
			}
		}
		if err := a.probeEach(ctx, w.Addresses, probes[len(links)]); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// nowhere says that there is no interface to probe.
func nowhere(patterns []string) error {
	switch {
	case patterns != nil && len(patterns) == 0:
		return errors.New("there is nothing to probe: no interfaces, addresses or networks")
	case patterns != nil:
		all, _ := multicast.Interfaces() // only to name them
		return errors.New(multicast.NoneCalled(all, patterns))
	}
	return errors.New("no suitable network interface: name one in interfaces; a Pod must be on the node's network")
}

// newProbe makes a probe whose answers are taken.
func (a *Air) newProbe() []byte {
	var b [16]byte
	_, _ = crand.Read(b[:])                     // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562: version 4
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent.add(id, time.Now())
	return probe(id)
}

// probeEach sends a probe to each address, not all at once. What an address
// cannot be sent is not said: in a network most have no route or no machine.
func (a *Air) probeEach(ctx context.Context, addresses []netip.Addr, probe []byte) error {
	for i, to := range addresses {
		if i%(perSecond/16) == 0 && i > 0 {
			if err := backoff.Sleep(ctx, time.Second/16); err != nil {
				return err
			}
		}
		c, err := a.unicastConn(to.Is6(), i%unicastSockets)
		if err != nil {
			return err
		}
		if err := send(ctx, c, probe, netip.AddrPortFrom(to, Port)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sendTimeout is how long a probe waits for room before it is looked whether it
// is still wanted.
const sendTimeout = 100 * time.Millisecond

// sender is what send needs of a [net.UDPConn].
type sender interface {
	SetWriteDeadline(time.Time) error
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
}

// send sends a probe to an address. It waits while the socket is full of those
// for machines of this link that are not there: the kernel asks for each of them
// for some seconds. An error says that ctx is done.
func send(ctx context.Context, c sender, probe []byte, to netip.AddrPort) error {
	for {
		_ = c.SetWriteDeadline(time.Now().Add(sendTimeout)) // fails if it is closed, and then so does what follows
		_, err := c.WriteToUDPAddrPort(probe, to)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (a *Air) unicastConn(six bool, n int) (*net.UDPConn, error) {
	if six {
		n += unicastSockets
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errClosed
	}
	if a.unicast[n] == nil {
		c, err := unicastSocket(six)
		if err != nil {
			return nil, err
		}
		a.unicast[n] = c
		a.read(c, "")
	}
	return a.unicast[n], nil
}
