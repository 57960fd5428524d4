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

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/poll"
)

// Camera is one ONVIF camera. Its methods may be called by several goroutines.
type Camera struct {
	Identity
	sim      *Simulator
	messages atomic.Uint64 // how many it has sent
	counts   counts
	guard    guard

	drawing sync.Mutex
	loop    map[drawn][]byte // pictures that are shown again

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
		address: address, port: uint16(port), rtspPort: uint16(rtsp), loop: map[drawn][]byte{}}
	c.guard = newGuard(&s.options, c.now)
	return c
}

// Reference is its endpoint reference: "urn:uuid:" and its UUID.
func (c *Camera) Reference() string { return "urn:uuid:" + c.UUID }

// Address returns its current address with its HTTP port, the last one if it is
// stopped. The port is 0 before the first start if the kernel chooses it.
func (c *Camera) Address() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return netip.AddrPortFrom(c.address, c.port)
}

// XAddr returns the real URL of its device service, whatever Faults.XAddrs are.
func (c *Camera) XAddr() string { return c.url(c.Address(), "/onvif/device_service") }

// XAddrs returns the URLs of its device service that it announces: its own, or
// Faults.XAddrs.
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

// url returns a URL of the camera, without a zone, which means something to this
// host only.
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

// Faults returns its faults.
func (c *Camera) Faults() Faults {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults
}

// SetFaults replaces its faults. New XAddrs change its metadata version, but are
// not announced; [Camera.Hello] does that.
func (c *Camera) SetFaults(f Faults) {
	f.XAddrs = slices.Clone(f.XAddrs)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(f.XAddrs, c.faults.XAddrs) {
		c.version++
	}
	c.faults = f
}

// Do runs a command.
func (c *Camera) Do(command Command) error {
	if command.Faults != nil {
		if command.Faults.Expired && c.sim.issuer == nil {
			return errors.New("expired: the cameras use HTTP; use --https (Options.TLS)")
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

// Running reports whether it is started.
func (c *Camera) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.endpoints) > 0
}

// Start starts it, unless it is running. It is listening when Start returns, and
// sends Hello after a random delay.
func (c *Camera) Start() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.start()
}

// Stop sends Bye and stops it.
func (c *Camera) Stop() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.sayBye() && !c.sim.options.Once {
		_ = backoff.Sleep(context.Background(), repeatDelay()) // it has no end
		c.sayBye()
	}
	return c.vanish()
}

// Vanish stops it without Bye, like a power failure.
func (c *Camera) Vanish() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.vanish()
}

// Move changes its address, as DHCP does: it leaves the old one without Bye and
// sends Hello from the new one, with a new metadata version. If that fails it
// stays where it is.
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
	if c.sim.options.LinkLocal && on.linkLocal.IsValid() &&
		on.linkLocal.WithZone("") != at.Addr().WithZone("") {
		second, err := c.openChecked(netip.AddrPortFrom(on.linkLocal, c.linkLocalPort()), on)
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
	c.sim.log.Info("camera started", "number", c.Number, "name", c.Name, "uuid", c.UUID,
		"xaddrs", strings.Join(c.XAddrs(), " "))
	c.sim.later.do(c.sim.delay(), c.Hello)
	return nil
}

func (c *Camera) failed(err error) error { return fmt.Errorf("camera %d: %w", c.Number, err) }

// linkLocalPort is its HTTP port on the link-local address, which cameras share.
func (c *Camera) linkLocalPort() uint16 {
	if c.sim.options.Port == 0 {
		return 0
	}
	return uint16(8000 + c.Number)
}

// addressCheckTimeout bounds the wait for duplicate address detection (RFC 4862,
// 5.4). A new IPv6 address cannot be used before, usually for two seconds.
const addressCheckTimeout = 10 * time.Second

// openChecked opens the endpoint at a link-local address, once it can be used.
func (c *Camera) openChecked(at netip.AddrPort, on *link) (e *endpoint, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), addressCheckTimeout)
	defer cancel()
	what := fmt.Sprintf("%s can be used", at.Addr())
	err = poll.Until(ctx, what, 50*time.Millisecond, func(context.Context) error {
		if e, err = c.open(at, 0, false, on); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return poll.Fatal(err)
		}
		return err
	})
	return e, err
}

// open opens an endpoint.
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

// vanish closes all endpoints.
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
	c.sim.log.Info("camera stopped", "number", c.Number, "name", c.Name)
	return errors.Join(errs...)
}

// shut closes what is open of an endpoint.
func (s *Simulator) shut(e *endpoint) error {
	if e.close != nil {
		e.close()
	}
	e.serving.Wait()
	return errors.Join(s.air.release(e.sends), s.air.release(e.hears))
}
