package simulator

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// MaxCameras is how many cameras a simulator may have.
const MaxCameras = 2000

// Auth says how a camera wants to be asked for what is not public.
type Auth string

// Ways to authenticate. With AuthBoth a camera behaves as ONVIF Core 5.9.1 has
// it: who brings neither is asked for HTTP digest, who brings a UsernameToken is
// judged by that.
const (
	AuthNone          Auth = "none"
	AuthUsernameToken Auth = "token"
	AuthDigest        Auth = "digest"
	AuthBoth          Auth = "both"
)

// Algorithms of HTTP digest (RFC 7616).
const (
	MD5    = "MD5"
	SHA256 = "SHA-256"
)

// Options say which cameras there are. The zero value of a field has the
// default that its comment names.
type Options struct {
	// Seed makes cameras differ from those of other simulators; "akri".
	Seed string
	// Count is the number of cameras; as many as Addresses.
	Count int
	// Addresses are where they are: camera n has the n-th, and when there are
	// no more it begins again, with the next port. A link-local address has its
	// zone. At least one is needed.
	Addresses []netip.Addr
	// Interface is where they multicast; the one that has a camera's address.
	// Where it is given, an address may also be local by a route only.
	Interface string
	// Port and RTSPPort are those of the first camera on each address; 0 is one
	// that the kernel chooses. NoRTSP leaves RTSP out.
	Port, RTSPPort int
	NoRTSP         bool
	// LinkLocal has the cameras answer on the IPv6 link-local address of their
	// interface too, each on a port of its own, where there is such an address.
	LinkLocal bool
	// TLS has them speak HTTPS. [Simulator.Roots] trusts them.
	TLS bool

	// Auth is AuthNone. Username is "admin", Password "akri".
	Auth               Auth
	Username, Password string
	// Algorithms of HTTP digest in the order in which they are offered; MD5 alone,
	// as cameras have it.
	Algorithms []string
	// Scopes come after those that each camera has.
	Scopes []string

	// DiscoveryPort is the UDP port of WS-Discovery; 3702.
	DiscoveryPort int
	// MaxDelay bounds the random delay of ProbeMatches and Hello
	// (WS-Discovery 2.4: APP_MAX_DELAY); 500 ms. Negative is none.
	MaxDelay time.Duration
	// Once has each message sent once; else it is repeated after 50 to 250 ms, as
	// SOAP-over-UDP has it.
	Once bool

	// Now is the clock; time.Now.
	Now func() time.Time
	Log *slog.Logger // nothing is logged
}

// complete sets what is not set and says what is wrong.
func (o *Options) complete() error {
	setTo(&o.Seed, "akri")
	setTo(&o.Auth, AuthNone)
	setTo(&o.Username, "admin")
	setTo(&o.Password, "akri")
	setTo(&o.Count, len(o.Addresses))
	setTo(&o.DiscoveryPort, 3702)
	setTo(&o.MaxDelay, 500*time.Millisecond)
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{MD5}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(o.Addresses) == 0:
		return errors.New("no address for the cameras")
	case o.Count < 1 || o.Count > MaxCameras:
		return fmt.Errorf("%d cameras: there may be 1 to %d", o.Count, MaxCameras)
	case !slices.Contains([]Auth{AuthNone, AuthUsernameToken, AuthDigest, AuthBoth}, o.Auth):
		return fmt.Errorf("authentication %q: choose none, token, digest or both", o.Auth)
	}
	for _, a := range o.Algorithms {
		if a != MD5 && a != SHA256 {
			return fmt.Errorf("digest algorithm %q: choose among %s and %s", a, MD5, SHA256)
		}
	}
	for _, s := range o.Scopes {
		if strings.ContainsAny(s, " \t\r\n") || s == "" {
			return fmt.Errorf("scope %q: it is a URI, without space", s)
		}
	}
	last := (o.Count - 1) / len(o.Addresses)
	for _, p := range []int{o.Port, o.RTSPPort, o.DiscoveryPort} {
		if p < 0 || p+last > 65535 {
			return fmt.Errorf("port %d is none, or too high for %d cameras on an address", p, last+1)
		}
	}
	return nil
}

func setTo[T comparable](field *T, to T) {
	var zero T
	if *field == zero {
		*field = to
	}
}

// place returns address, HTTP port and RTSP port of a camera, from 1.
func (o *Options) place(number int) (address netip.Addr, port, rtsp int) {
	i := number - 1
	row := i / len(o.Addresses)
	address, port, rtsp = o.Addresses[i%len(o.Addresses)], o.Port, o.RTSPPort
	if port != 0 {
		port += row
	}
	if rtsp != 0 {
		rtsp += row
	}
	return address, port, rtsp
}

// link is the interface that a camera is on.
type link struct {
	*net.Interface
	// prefixes are its addresses. They are read when a camera starts: later
	// whoever asks may be in another network namespace.
	prefixes []netip.Prefix
	// linkLocal is its IPv6 link-local address, with a zone; invalid if it has none.
	linkLocal netip.Addr
}

// bits is the length of an address's prefix; all of it if the address is there by
// a route only.
func (l *link) bits(address netip.Addr) int {
	for _, p := range l.prefixes {
		if p.Contains(address.WithZone("")) {
			return p.Bits()
		}
	}
	return address.BitLen()
}

// linkOf returns the interface on which a camera multicasts.
func (o *Options) linkOf(address netip.Addr) (*link, error) {
	var all []net.Interface
	if o.Interface != "" {
		named, err := net.InterfaceByName(o.Interface)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", o.Interface, err)
		}
		all = []net.Interface{*named}
	} else {
		var err error
		if all, err = net.Interfaces(); err != nil {
			return nil, err
		}
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		l, has := &link{Interface: &i}, o.Interface != ""
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			l.prefixes = append(l.prefixes, prefix)
			switch {
			case prefix.Addr() == address.WithZone("") && (address.Zone() == "" || address.Zone() == i.Name),
				i.Flags&net.FlagLoopback != 0 && prefix.Contains(address):
				has = true
			}
			if prefix.Addr().Is6() && prefix.Addr().IsLinkLocalUnicast() && !l.linkLocal.IsValid() {
				l.linkLocal = prefix.Addr().WithZone(i.Name)
			}
		}
		if has {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no interface has the address %s: add it (ip addr add %s/24 dev …)", address, address)
}
