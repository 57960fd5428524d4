package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

// Camera is one ONVIF camera. Its methods may be called by several goroutines.
type Camera struct {
	Identity
	sim      *Simulator
	messages atomic.Uint64 // how many it has sent
	counts   counts
	guard    guard

	changing sync.Mutex // Start, Stop and Move, one at a time

	mu        sync.Mutex
	faults    Faults
	address   netip.Addr
	port      uint16 // of its main endpoint; 0 before its first start
	rtspPort  uint16
	version   uint32 // of its metadata
	instance  uint64 // of AppSequence: another one after each start
	endpoints []*endpoint
}

func newCamera(s *Simulator, number int) *Camera {
	address, port, rtsp := s.options.place(number)
	c := &Camera{Identity: Identify(s.options.Seed, number), sim: s, version: 1,
		address: address, port: uint16(port), rtspPort: uint16(rtsp)}
	c.guard = newGuard(&s.options, c.now)
	return c
}

// Reference is its endpoint reference: "urn:uuid:" and its UUID.
func (c *Camera) Reference() string { return "urn:uuid:" + c.UUID }

// Address is where it is, or was when it stopped. The port is that of HTTP: 0
// before its first start, if the kernel chooses it.
func (c *Camera) Address() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return netip.AddrPortFrom(c.address, c.port)
}

// XAddr is the URL of its device service, whatever its faults have it say.
func (c *Camera) XAddr() string { return c.url(c.Address(), "/onvif/device_service") }

// XAddrs are the URLs of its device service as it announces them: all that it
// has, or those of [Faults].
func (c *Camera) XAddrs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.xaddrs()
}

// xaddrs is XAddrs with c.mu held.
func (c *Camera) xaddrs() []string {
	if c.faults.XAddrs != nil {
		return slices.Clone(c.faults.XAddrs)
	}
	var all []string
	for _, e := range c.endpoints {
		all = append(all, c.url(e.at, "/onvif/device_service"))
	}
	return all
}

// url is a URL of the camera. It has no zone: that is for the node alone.
func (c *Camera) url(at netip.AddrPort, path string) string {
	scheme, usual := "http", uint16(80)
	if c.sim.issuer != nil {
		scheme, usual = "https", 443
	}
	host := at.Addr().WithZone("").String()
	if at.Addr().Is6() {
		host = "[" + host + "]"
	}
	if at.Port() != usual {
		host = fmt.Sprintf("%s:%d", host, at.Port())
	}
	return scheme + "://" + host + path
}

// Faults returns what is wrong with it.
func (c *Camera) Faults() Faults {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults
}

// SetFaults replaces what is wrong with it, from now on. New XAddrs are new
// metadata, which it does not announce by itself: [Camera.Hello] does.
func (c *Camera) SetFaults(f Faults) {
	f.XAddrs = slices.Clone(f.XAddrs)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(f.XAddrs, c.faults.XAddrs) {
		c.version++
	}
	c.faults = f
}

// Do does what a command says.
func (c *Camera) Do(command Command) error {
	if command.Faults != nil {
		if command.Faults.Expired && c.sim.issuer == nil {
			return errors.New("expired: the cameras speak HTTP; certificates are there with HTTPS")
		}
		c.SetFaults(*command.Faults)
	}
	var errs []error
	if command.Move.IsValid() {
		errs = append(errs, c.Move(command.Move))
	}
	if command.Stop {
		errs = append(errs, c.Stop())
	}
	if command.Vanish {
		errs = append(errs, c.Vanish())
	}
	if command.Start {
		errs = append(errs, c.Start())
	}
	if command.Hello {
		c.Hello()
	}
	return errors.Join(errs...)
}

// Running says whether it is there.
func (c *Camera) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.endpoints) > 0
}

// Start starts it, unless it runs. It listens when Start returns, and says Hello
// after a random delay.
func (c *Camera) Start() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.start()
}

// Stop says Bye and stops it.
func (c *Camera) Stop() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.sayBye() && !c.sim.options.Once {
		_ = backoff.Sleep(context.Background(), repeatDelay()) // it has no end
		c.sayBye()
	}
	return c.vanish()
}

// Vanish stops it without Bye, like a loss of power.
func (c *Camera) Vanish() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.vanish()
}

// Move gives it another address, as DHCP does: it is gone from the old one
// without Bye, and says Hello at the new one with a new metadata version.
func (c *Camera) Move(to netip.Addr) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	running := c.Running()
	if err := c.vanish(); err != nil {
		return err
	}
	c.mu.Lock()
	from := c.address
	c.address = to
	c.version++
	c.mu.Unlock()
	if !running {
		return nil
	}
	if err := c.start(); err != nil {
		c.mu.Lock()
		c.address = from
		c.mu.Unlock()
		return errors.Join(err, c.start())
	}
	return nil
}

func (c *Camera) start() error {
	if c.Running() {
		return nil
	}
	at := c.Address()
	on, err := c.sim.options.linkOf(at.Addr())
	if err != nil {
		return c.failed(err)
	}
	c.mu.Lock()
	rtsp := c.rtspPort
	c.mu.Unlock()
	main, err := c.open(at, rtsp, true, on)
	if err != nil {
		return c.failed(err)
	}
	endpoints := []*endpoint{main}
	if c.sim.options.LinkLocal && on.linkLocal.IsValid() && on.linkLocal != at.Addr() {
		second, err := c.open(netip.AddrPortFrom(on.linkLocal, c.linkLocalPort()), 0, false, on)
		if err != nil {
			return c.failed(errors.Join(err, c.sim.shut(main)))
		}
		endpoints = append(endpoints, second)
	}
	c.mu.Lock()
	c.instance = max(c.instance+1, uint64(time.Now().Unix()))
	c.messages.Store(0)
	c.endpoints = endpoints
	c.port, c.rtspPort = main.at.Port(), main.rtsp.Port()
	c.mu.Unlock()
	c.sim.log.Info("camera is there", "number", c.Number, "name", c.Name, "uuid", c.UUID,
		"xaddrs", strings.Join(c.XAddrs(), " "))
	c.sim.later.do(c.sim.delay(), c.Hello)
	return nil
}

func (c *Camera) failed(err error) error { return fmt.Errorf("camera %d: %w", c.Number, err) }

// linkLocalPort is its HTTP port on the address that it shares with the others.
func (c *Camera) linkLocalPort() uint16 {
	if c.sim.options.Port == 0 {
		return 0
	}
	return uint16(8000 + c.Number)
}

// open opens what a camera has at an address.
func (c *Camera) open(at netip.AddrPort, rtspPort uint16, main bool, on *link) (e *endpoint, err error) {
	e = &endpoint{on: on}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.sim.shut(e))
		}
	}()
	port := uint16(c.sim.options.DiscoveryPort)
	if e.sends, err = c.sim.air.use(netip.AddrPortFrom(at.Addr(), port), on.Interface); err != nil {
		return e, err
	}
	if on.Flags&net.FlagMulticast != 0 {
		if e.hears, err = c.sim.air.use(netip.AddrPortFrom(groupOf(at.Addr()), port), on.Interface); err != nil {
			return e, err
		}
	}
	return e, c.serve(e, at, rtspPort, main)
}

// vanish closes what the camera has.
func (c *Camera) vanish() error {
	c.mu.Lock()
	endpoints := c.endpoints
	c.endpoints = nil
	c.mu.Unlock()
	if len(endpoints) == 0 {
		return nil
	}
	var errs []error
	for _, e := range endpoints {
		errs = append(errs, c.sim.shut(e))
	}
	c.sim.log.Info("camera is gone", "number", c.Number, "name", c.Name)
	return errors.Join(errs...)
}

// shut closes an endpoint, whatever of it is open.
func (s *Simulator) shut(e *endpoint) error {
	if e.close != nil {
		e.close()
	}
	e.serving.Wait()
	return errors.Join(s.air.release(e.sends), s.air.release(e.hears))
}
