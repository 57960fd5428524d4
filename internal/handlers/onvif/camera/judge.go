// Package camera asks one camera who it is.
//
// What the camera has said of itself, a [Sighting], is a stranger's claim. So
// first it is judged which of the addresses in it may be called at all, from
// where it came ([Judge]); then the first that answers is asked ([Ask]) for the
// [Facts] that devices are made of.
package camera

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/onvif/soap"
	"github.com/akri-go/akri/internal/shorten"
)

// Sighting is what was heard of a camera, and how.
type Sighting struct {
	UUID           string
	XAddrs, Scopes []string
	Version        uint64
	// From is who sent it; addresses of a link have the zone.
	From netip.Addr
	// Interface is where it came in, and Local the addresses of this node on it
	// with their networks. Both are empty if the camera was probed by address.
	Interface string
	Local     []netip.Prefix
}

// Judge tells why an address that a sighting names must not be called; nil if it
// may be. Configured are the networks in which the user says that cameras are.
func Judge(a netip.Addr, s Sighting, configured []netip.Prefix) error {
	plain, from := a.Unmap().WithZone(""), s.From.Unmap().WithZone("")
	switch {
	case !plain.IsValid() || plain.IsUnspecified() || plain.IsMulticast():
		return fmt.Errorf("%s is not the address of a camera", a)
	case address.Metadata(plain):
		return fmt.Errorf("%s is where clouds keep credentials of machines", a)
	case !s.plausible(configured):
		return fmt.Errorf("the answer came from %s, which is in no network of %s; if a camera is there, "+
			"name it in addresses or networks", s.From, s.Interface)
	case plain == from:
		return nil
	case plain.IsLoopback():
		if from.IsLoopback() {
			return nil
		}
		return fmt.Errorf("%s is this node itself", a)
	case slices.ContainsFunc(s.Local, func(p netip.Prefix) bool { return p.Addr().WithZone("") == plain }):
		return fmt.Errorf("%s is this node itself", a)
	case slices.ContainsFunc(configured, func(p netip.Prefix) bool { return p.Contains(plain) }):
		return nil
	case plain.Is4() && plain.IsLinkLocalUnicast():
		return fmt.Errorf("%s belongs to a link, and the answer came from %s", a, s.From)
	}
	on := func(b netip.Addr) bool {
		return slices.ContainsFunc(s.Local, func(p netip.Prefix) bool { return p.Contains(b) })
	}
	fromHere := on(from) || from.IsLinkLocalUnicast() && s.Interface != ""
	if fromHere && (on(plain) || plain.IsLinkLocalUnicast()) {
		return nil
	}
	return fmt.Errorf("%s is in another network than %s, from where the answer came; if it is the camera's, "+
		"name it in addresses or networks", a, s.From)
}

// plausible tells whether a sighting can have come from where it says. Multicast
// crosses no router, and anybody can write any sender on a datagram: so nobody has
// this node call an address that only the node can reach.
func (s Sighting) plausible(configured []netip.Prefix) bool {
	from := s.From.Unmap().WithZone("")
	contains := func(p netip.Prefix) bool { return p.Contains(from) }
	return s.Interface == "" || from.IsLinkLocalUnicast() ||
		slices.ContainsFunc(s.Local, contains) || slices.ContainsFunc(configured, contains)
}

// Resolver looks names up. [*net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// maxTargets is how many addresses of one camera are tried.
	maxTargets = 4
	// maxLookups is how many names of one sighting are looked up.
	maxLookups = 2
	// maxFaults is how many reasons are kept why addresses are not called.
	maxFaults = 4
)

// targets returns the services to try, the best first: addresses before those of
// a link, which other nodes cannot use; then the one that has answered; http
// before https, as upstream has it. Names are looked up here and never again.
//
// If no address may be called, the sender's is tried instead: many a camera is
// wrong about its own.
func targets(ctx context.Context, s Sighting, configured []netip.Prefix, names Resolver) ([]soap.Target, error) {
	type ranked struct {
		soap.Target
		rank int
	}
	var all []ranked
	var faults []error
	var first *url.URL
	lookups := 0
	for _, x := range s.XAddrs {
		u, port, err := parseXAddr(x)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if first == nil {
			first = u
		}
		if _, err := netip.ParseAddr(u.Hostname()); err != nil {
			if lookups++; lookups > maxLookups {
				continue
			}
		}
		addresses, err := resolve(ctx, u.Hostname(), names)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, a := range addresses {
			if err := Judge(a, s, configured); err != nil {
				faults = append(faults, err)
				continue
			}
			a = zoned(a, s)
			t := soap.Target{URL: withZone(u, a), Address: netip.AddrPortFrom(a, port)}
			all = append(all, ranked{t, rank(u, a, s)})
			break
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	var list []soap.Target
	for _, t := range all[:min(len(all), maxTargets)] {
		list = append(list, t.Target)
	}
	if len(list) > 0 {
		return list, nil
	}
	if err := Judge(s.From, s, configured); err != nil {
		return nil, errors.Join(append(faults[:min(len(faults), maxFaults)], err)...)
	}
	return []soap.Target{instead(first, s)}, nil
}

// instead returns the service at the sender's own address: as the XAddr says, or
// where ONVIF says that it is (Core Specification, section 5.1.1).
func instead(u *url.URL, s Sighting) soap.Target {
	t := url.URL{Scheme: "http", Path: "/onvif/device_service"}
	port := uint16(80)
	if u != nil {
		t = *u
		port = portOf(u)
	}
	host := s.From.Unmap().String()
	if s.From.Is6() {
		host = "[" + host + "]"
	}
	if port != defaultPort(t.Scheme) {
		host += ":" + strconv.Itoa(int(port))
	}
	t.Host = host
	return soap.Target{URL: &t, Address: netip.AddrPortFrom(s.From.Unmap(), port)}
}

func rank(u *url.URL, a netip.Addr, s Sighting) (n int) {
	if a.IsLinkLocalUnicast() {
		n += 4
	}
	if a.WithZone("") != s.From.Unmap().WithZone("") {
		n += 2
	}
	if u.Scheme != "http" {
		n++
	}
	return n
}

// parseXAddr reads the URL of a service.
func parseXAddr(x string) (u *url.URL, port uint16, err error) {
	u, err = url.Parse(x)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" ||
		u.Hostname() == "" || u.User != nil || portOf(u) == 0 {
		return nil, 0, fmt.Errorf("%q is no URL that a camera could have", shorten.Text(x, 128))
	}
	u.Fragment = ""
	return u, portOf(u), nil
}

// portOf returns the port of a URL; 0 if it is none.
func portOf(u *url.URL) uint16 {
	if u.Port() == "" {
		return defaultPort(u.Scheme)
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// zoned gives an address of a link the zone of the interface on which the camera
// was heard.
func zoned(a netip.Addr, s Sighting) netip.Addr {
	a = a.Unmap()
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		return a.WithZone("")
	}
	return a.WithZone(cmp.Or(s.From.Zone(), s.Interface))
}

// withZone writes the zone of an address of a link into the URL, without which
// nobody can use it.
func withZone(u *url.URL, a netip.Addr) *url.URL {
	if a.Zone() == "" {
		return u
	}
	c := *u
	c.Host = "[" + a.String() + "]"
	if u.Port() != "" {
		c.Host += ":" + u.Port()
	}
	return &c
}

const maxNames = 253 // bytes of a host name

// resolve returns the addresses of a host, at most a few.
func resolve(ctx context.Context, host string, names Resolver) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if len(host) > maxNames || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > 0x7e }) {
		return nil, fmt.Errorf("%q is no host name", shorten.Text(host, 64))
	}
	ctx, cancel := context.WithTimeout(ctx, soap.DefaultTimeout)
	defer cancel()
	all, err := names.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("host name %q: %w", host, err)
	}
	return all[:min(len(all), 2*maxTargets)], nil
}
