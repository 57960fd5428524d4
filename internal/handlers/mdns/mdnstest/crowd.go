// Package mdnstest has devices for tests that announce a service by Multicast DNS
// (RFC 6762): pretended ones, hundreds of them on one interface. Their messages
// are written and read by golang.org/x/net, not by the handler's code, so a
// misreading of the standard makes a test fail.
package mdnstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/akri-go/akri/internal/handlers/multicast"
)

// group is where all is sent, and heard.
var group = netip.MustParseAddrPort("224.0.0.251:5353")

const hops = 255

// Device is a host of its own with one service.
type Device struct {
	// Address is the host's, of IPv4: the interface has it, or a route makes it
	// local.
	Address netip.Addr
	// Host is the host's name without .local, and Name the service's. They have no
	// dots.
	Host, Name string
	// Type is such as _ipp._tcp.
	Type string
	Port uint16
	// Text are the strings of the TXT record, such as id=1.
	Text []string
}

// Crowd is devices on an interface.
type Crowd struct {
	on      multicast.Interface
	hears   *ipv4.PacketConn
	devices []*device
	reading sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	pending map[netip.AddrPort]*message // questions whose known answers go on
	timers  map[*time.Timer]bool
}

// device is one that may be there.
type device struct {
	Device
	service, kind, host string       // full names, in lower case
	sends               *net.UDPConn // nil while it is off
}

// New makes devices, all of them off, on an interface of this thread's network.
func New(on string, devices ...Device) (*Crowd, error) {
	all, err := multicast.Interfaces()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(i multicast.Interface) bool { return i.Name == on })
	if i < 0 {
		return nil, fmt.Errorf("there is no interface %s", on)
	}
	c := &Crowd{on: all[i], pending: map[netip.AddrPort]*message{}, timers: map[*time.Timer]bool{}}
	for _, d := range devices {
		kind := strings.ToLower(d.Type) + ".local."
		c.devices = append(c.devices, &device{Device: d, kind: kind,
			service: strings.ToLower(d.Name) + "." + kind, host: strings.ToLower(d.Host) + ".local."})
	}
	if c.hears, err = multicast.Group4(group); err != nil {
		return nil, err
	}
	if err := multicast.Join(c.hears, c.on, group.Addr()); err != nil {
		return nil, errors.Join(err, c.hears.Close())
	}
	c.reading.Go(c.read)
	return c, nil
}

// Start switches a device on, which announces itself twice (RFC 6762, section
// 8.3). It must be called in the network of the interface.
func (c *Crowd) Start(n int) error {
	d := c.devices[n]
	conn, err := multicast.Open(netip.AddrPortFrom(d.Address, group.Port()), multicast.Outgoing(c.on, d.Address, hops))
	if err != nil {
		return err
	}
	c.mu.Lock()
	d.sends = conn
	c.mu.Unlock()
	announcement, err := d.all(false)
	if err != nil {
		return err
	}
	c.after(time.Second, func() { _ = c.send(d, announcement, group) }) // the first says what is wrong
	return c.send(d, announcement, group)
}

// Stop switches a device off, which says good-bye.
func (c *Crowd) Stop(n int) error {
	d := c.devices[n]
	bye, err := d.all(true)
	if err == nil {
		err = c.send(d, bye, group)
	}
	return errors.Join(err, c.Vanish(n))
}

// Vanish switches a device off without a word.
func (c *Crowd) Vanish(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[n]
	if d.sends == nil {
		return nil
	}
	err := d.sends.Close()
	d.sends = nil
	return err
}

// Close switches all off without a word.
func (c *Crowd) Close() error {
	c.mu.Lock()
	c.closed = true
	for t := range c.timers {
		t.Stop()
	}
	c.mu.Unlock()
	err := c.hears.Close()
	for n := range c.devices {
		err = errors.Join(err, c.Vanish(n))
	}
	c.reading.Wait()
	return err
}

// send sends from a device's address, unless it is off.
func (c *Crowd) send(d *device, data []byte, to netip.AddrPort) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.sends == nil {
		return nil
	}
	_, err := d.sends.WriteToUDPAddrPort(data, to)
	return err
}

// after runs f later, unless the crowd is closed by then.
func (c *Crowd) after(wait time.Duration, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(wait, func() {
		c.mu.Lock()
		delete(c.timers, t)
		closed := c.closed
		c.mu.Unlock()
		if !closed {
			f()
		}
	})
	c.timers[t] = true
}

// read takes questions until the crowd is closed.
func (c *Crowd) read() {
	buffer := make([]byte, 9000)
	for {
		n, _, from, err := c.hears.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		source, ok := from.(*net.UDPAddr)
		if err != nil || !ok {
			continue
		}
		if m := parse(buffer[:n]); m != nil {
			c.hear(m, source.AddrPort())
		}
	}
}

// hear answers questions. Those whose known answers go on in the next message
// wait for these (RFC 6762, section 7.2).
func (c *Crowd) hear(m *message, from netip.AddrPort) {
	c.mu.Lock()
	earlier := c.pending[from]
	switch {
	case earlier != nil:
		earlier.add(m)
		if m.more {
			m = nil
		} else {
			m = earlier
			delete(c.pending, from)
		}
	case m.more:
		c.pending[from], m = m, nil
	}
	c.mu.Unlock()
	if m == nil {
		c.after(450*time.Millisecond, func() {
			c.mu.Lock()
			m := c.pending[from]
			delete(c.pending, from)
			c.mu.Unlock()
			if m != nil {
				c.answer(m, from)
			}
		})
		return
	}
	c.answer(m, from)
}

// answer has each device answer that is asked for. What others may answer too is
// answered a little later (RFC 6762, section 6).
func (c *Crowd) answer(m *message, from netip.AddrPort) {
	for _, d := range c.devices {
		for _, q := range m.questions {
			data, shared := d.answer(q, m.known)
			if data == nil {
				continue
			}
			to, wait := group, time.Duration(0)
			if q.alone {
				to = from
			}
			if shared {
				wait = 20*time.Millisecond + rand.N(100*time.Millisecond)
			}
			c.after(wait, func() { _ = c.send(d, data, to) }) // as if it were lost
		}
	}
}
