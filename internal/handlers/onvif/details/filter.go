package details

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/onvif/users"
)

// Action is what a filter does with what its items match.
type Action string

// The actions. Upstream's handler takes no other spelling.
const (
	Include Action = "Include" // only these
	Exclude Action = "Exclude" // all but these
)

// Filter chooses among cameras. The zero value takes all.
type Filter struct {
	Action Action // "" is Exclude
	Items  []string
}

// filterText is a filter in YAML.
type filterText struct {
	Action *Action  `json:"action"`
	Items  []string `json:"items"`
}

func (t *filterText) filter() (Filter, error) {
	if t == nil {
		return Filter{Action: Exclude}, nil
	}
	f := Filter{Action: Include, Items: t.Items}
	if t.Action != nil {
		f.Action = *t.Action
	}
	if f.Action != Include && f.Action != Exclude {
		return f, fmt.Errorf("action: %q, want %s or %s", f.Action, Include, Exclude)
	}
	if len(f.Items) > maxItems {
		return f, fmt.Errorf("%d items, at most %d are allowed", len(f.Items), maxItems)
	}
	for i, item := range f.Items {
		if err := checkItem(item); err != nil {
			return f, fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return f, nil
}

// Trivial tells whether the filter takes every camera, whatever is known of it.
func (f Filter) Trivial() bool { return f.Action != Include && len(f.Items) == 0 }

// pass tells whether a filter takes what some items match or do not. As in
// upstream, what could not be learned passes only a filter that takes all.
func (f Filter) pass(known, matches bool) bool {
	if f.Trivial() {
		return true
	}
	return known && matches == (f.Action == Include)
}

// PassAddresses tells whether the filter takes a camera with these addresses:
// the items are addresses or networks, and one that matches one address counts.
func (f Filter) PassAddresses(addresses []netip.Addr) bool {
	return f.pass(len(addresses) > 0, slices.ContainsFunc(f.Items, func(item string) bool {
		return slices.ContainsFunc(addresses, func(a netip.Addr) bool {
			if p, err := netip.ParsePrefix(item); err == nil {
				return p.Contains(a.Unmap().WithZone(""))
			}
			b, err := netip.ParseAddr(item)
			return err == nil && b.Unmap().WithZone("") == a.Unmap().WithZone("")
		})
	}))
}

// PassMACs tells whether the filter takes a camera whose network interfaces have
// these addresses, in whatever way either is written.
func (f Filter) PassMACs(macs []string) bool {
	return f.pass(len(macs) > 0, slices.ContainsFunc(f.Items, func(item string) bool {
		return slices.ContainsFunc(macs, func(m string) bool { return MAC(m) == MAC(item) })
	}))
}

// PassScopes tells whether the filter takes a camera with these scopes. Items are
// whole scopes.
func (f Filter) PassScopes(scopes []string) bool {
	return f.pass(len(scopes) > 0, slices.ContainsFunc(f.Items, func(item string) bool {
		return slices.Contains(scopes, item)
	}))
}

// PassUUID tells whether the filter takes a camera with this endpoint reference,
// as [UUID] returns it.
func (f Filter) PassUUID(uuid string) bool {
	return f.pass(true, slices.ContainsFunc(f.Items, func(item string) bool { return users.UUID(item) == uuid }))
}

// MAC returns the usual form of a MAC address, aa:bb:cc:dd:ee:ff, of any other
// form (with -, with . or without anything); what is none is only made lower
// case.
func MAC(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(s)
	if len(digits) != 12 || strings.Trim(digits, "0123456789abcdef") != "" {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

func isAddress(s string) bool {
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isMAC(s string) bool {
	_, err := net.ParseMAC(MAC(s))
	return err == nil
}

func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != ""
}
