package simulator

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxCameras is how many cameras a simulator may have, and the greatest number of
// one.
const MaxCameras = 2000

// maxLoop is how many pictures a camera keeps of a profile at most.
const maxLoop = 100

// Auth says how clients authenticate.
type Auth string

// Ways to authenticate. With AuthBoth a camera follows ONVIF Core 5.9.1: it
// challenges a request without credentials for HTTP digest, and accepts a
// UsernameToken.
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

// Options configure a simulator. Comments name the defaults of zero values.
type Options struct {
	// Seed is what identities are derived from; "akri".
	Seed string
	// Count is how many cameras there are; as many as Addresses. First is the number
	// of the first; 1. So several simulators can share the cameras of a seed.
	Count, First int
	// Addresses are those of the cameras: the n-th camera has the n-th. If there are more
	// cameras than addresses, the next ones use the next port on each address. A
	// link-local address needs its zone. At least one address is needed.
	Addresses []netip.Addr
	// Interface is the one for multicast; the one that has a camera's address. If
	// it is set, an address may also be local by a route only.
	Interface string
	// Port and RTSPPort are those of the first camera on each address; 0 lets the
	// kernel choose. NoRTSP disables RTSP.
	Port, RTSPPort int
	NoRTSP         bool
	// LinkLocal has the cameras also listen on the IPv6 link-local address of their
	// interface, each on its own port, if there is one when they start.
	LinkLocal bool
	// TLS has them use HTTPS. [Simulator.Roots] trusts their certificates.
	TLS bool

	// Auth is AuthNone. Username is "admin", Password "akri".
	Auth               Auth
	Username, Password string
	// Algorithms of HTTP digest in the order of the challenges; MD5 alone, as most
	// cameras have it.
	Algorithms []string
	// Scopes are added to those that each camera has.
	Scopes []string

	// DiscoveryPort is the UDP port of WS-Discovery; 3702.
	DiscoveryPort int
	// MaxDelay is the maximum of the random delay before ProbeMatches and Hello
	// (WS-Discovery 2.4, APP_MAX_DELAY); 500 ms. A negative value means no delay.
	MaxDelay time.Duration
	// Once sends each UDP message once. Otherwise it is repeated after 50 to 250 ms,
	// as in SOAP-over-UDP.
	Once bool

	// Loop has each camera draw so many pictures of a profile, and show them again and
	// again; 0: each is a new one. So many cameras take little of the machine. The
	// numbers of frames begin again with 0.
	Loop int
	// Sent, if set, is told of each picture before it is sent in a stream: the numbers
	// of camera and frame, as in the picture. So it can be measured how old the
	// picture is where it is shown.
	Sent func(camera int, frame uint32)

	// Now is the clock; time.Now.
	Now func() time.Time
	Log *slog.Logger // default: no log
}

// complete sets the defaults and checks the options.
func (o *Options) complete() error {
	setTo(&o.Seed, "akri")
	setTo(&o.Auth, AuthNone)
	setTo(&o.Username, "admin")
	setTo(&o.Password, "akri")
	setTo(&o.Count, len(o.Addresses))
	setTo(&o.First, 1)
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
	case o.Loop < 0 || o.Loop > maxLoop:
		return fmt.Errorf("a loop of %d pictures: there may be 0 to %d", o.Loop, maxLoop)
	case o.First < 1 || o.First+o.Count-1 > MaxCameras:
		return fmt.Errorf("the first camera has number %d: numbers are 1 to %d", o.First, MaxCameras)
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

// place returns address, HTTP port and RTSP port of the camera of a number.
func (o *Options) place(number int) (address netip.Addr, port, rtsp int) {
	i := number - o.First
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
	// linkLocal is its IPv6 link-local address; invalid if it has none. The zone is
	// the interface's number: package net remembers names, and has one memory for
	// all network namespaces that threads of a process are in.
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
				l.linkLocal = prefix.Addr().WithZone(strconv.Itoa(i.Index))
			}
		}
		if has {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no interface has the address %s: add it (ip address add %s/24 dev …)", address, address)
}
