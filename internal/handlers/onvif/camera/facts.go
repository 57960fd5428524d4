package camera

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/shorten"
)

// Facts are what a camera says of itself when it is asked.
type Facts struct {
	// URL is that of the device service that answered, at Address.
	URL     string
	Address netip.Addr
	// Seen is the source of the sighting that led there.
	Seen netip.Addr
	// Addresses and MACs are those of all its interfaces, as far as it tells;
	// Address is among them.
	Addresses []netip.Addr
	MACs      []string
	// MAC is that of the interface with Address, or of the first; "" if it does
	// not tell.
	MAC string

	Manufacturer, Model, Firmware, Serial, Hardware string
	// Scopes are those that it was seen with and those that it tells.
	Scopes []string
	// Missing is why some of this is not known; nil if all is that the camera
	// has to tell.
	Missing error
}

const (
	maxValue  = 256 // bytes of a property
	maxScopes = 128
	maxScope  = 512 // bytes
	// maxScopeBytes is for all scopes, maxAddresses for all interfaces.
	maxScopeBytes = 2 << 10
	maxAddresses  = 64
)

// clean makes a value of what a camera says: of characters that can be seen, and
// not longer than a name may be.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	return strings.Clone(shorten.Text(strings.Join(strings.Fields(s), " "), maxValue)) // without what was around it
}

func (f *Facts) setInformation(i deviceInformation) {
	f.Manufacturer, f.Model, f.Firmware = clean(i.Manufacturer), clean(i.Model), clean(i.Firmware)
	f.Serial, f.Hardware = clean(i.Serial), clean(i.Hardware)
}

func (f *Facts) setInterfaces(all []networkInterface) {
	f.Addresses = []netip.Addr{f.Address.WithZone("")}
	for _, i := range all[:min(len(all), maxInterfaces)] {
		if !i.enabled() {
			continue
		}
		mac := shorten.Text(details.MAC(clean(i.MAC)), 64)
		addresses := i.all()
		f.Addresses = append(f.Addresses, addresses[:min(len(addresses), maxAddresses-len(f.Addresses))]...)
		if mac == "" {
			continue
		}
		if f.MAC == "" || slices.Contains(addresses, f.Address.WithZone("")) {
			f.MAC = mac
		}
		f.MACs = append(f.MACs, mac)
	}
	slices.SortFunc(f.Addresses, netip.Addr.Compare)
	f.Addresses = slices.Compact(f.Addresses)
}

// setScopes takes the scopes that the camera was seen with, and those it tells.
func (f *Facts) setScopes(lists ...[]string) {
	f.Scopes = nil
	size := 0
	for _, list := range lists {
		for _, s := range list {
			s = strings.TrimSpace(s)
			fits := len(s) <= maxScope && len(f.Scopes) < maxScopes && size+len(s) <= maxScopeBytes
			if s != "" && fits && !slices.Contains(f.Scopes, s) {
				f.Scopes = append(f.Scopes, strings.Clone(s))
				size += len(s)
			}
		}
	}
}

// scopePrefix is that of ONVIF's own scopes: Core Specification, section 7.3.2.2.
const scopePrefix = "onvif://www.onvif.org/"

// Name and Location are what the scopes say, "" if they say nothing.
func (f Facts) Name() string { return f.scope("name") }

// Location is where the camera is, by its scopes.
func (f Facts) Location() string { return f.scope("location") }

// scope returns the values of a kind of scope, in their order.
func (f Facts) scope(kind string) string {
	var values []string
	for _, s := range f.Scopes {
		rest, ok := strings.CutPrefix(s, scopePrefix+kind+"/")
		if !ok {
			continue
		}
		if text, err := url.PathUnescape(rest); err == nil {
			rest = text
		}
		if rest = clean(rest); rest != "" {
			values = append(values, rest)
		}
	}
	return shorten.Text(strings.Join(values, ", "), maxValue)
}

// Same tells whether two cameras say the same of themselves.
func (f Facts) Same(g Facts) bool {
	type plain struct {
		url                                                  string
		address                                              netip.Addr
		mac, manufacturer, model, firmware, serial, hardware string
		complete                                             bool
	}
	of := func(f Facts) plain {
		return plain{
			f.URL, f.Address, f.MAC, f.Manufacturer, f.Model, f.Firmware, f.Serial, f.Hardware, f.Missing == nil,
		}
	}
	return of(f) == of(g) && slices.Equal(f.Addresses, g.Addresses) && slices.Equal(f.MACs, g.MACs) &&
		slices.Equal(f.Scopes, g.Scopes)
}
