package mdns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/details"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// maxPropertyBytes is how much all devices of a Configuration take: an agent
	// takes 4 MiB at once.
	maxPropertyBytes = 3 << 20
	// maxNoted is how many services are named in a note for each reason.
	maxNoted = 2
	// maxNoteBytes is how much of a note agents show.
	maxNoteBytes = 512
	// addressWait is how long a service that is heard at an address of its link waits
	// for a better one. Devices announce themselves over IPv4 and IPv6, in two
	// messages, and a broker that was started with the first is started again for
	// the second.
	addressWait = 300 * time.Millisecond
)

// candidate is a service that may be a device.
type candidate struct {
	browse.Service
	id   string
	text []attribute
	at   netip.Addr // where it is; invalid if at none of its addresses
}

// reasons says why some services are no devices, each reason once.
type reasons struct {
	order []string
	names map[string][]string
}

func (r *reasons) add(name, why string) {
	if r.names == nil {
		r.names = map[string][]string{}
	}
	if _, there := r.names[why]; !there {
		r.order = append(r.order, why)
	}
	r.names[why] = append(r.names[why], strconv.Quote(shorten.Text(name, 64)))
}

func (r *reasons) texts() (list []string) {
	for _, why := range r.order {
		names := r.names[why]
		text := strings.Join(names[:min(len(names), maxNoted)], " and ")
		if n := len(names) - maxNoted; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		list = append(list, text+": "+why)
	}
	return list
}

// planned is what there is to report.
type planned struct {
	discovery.Report
	leaving map[string]bool // ids of devices that have said good-bye
	again   time.Duration   // after this there may be more without news; 0 is never
}

// Plan returns what there is to report at a time, given what is known. Each
// device's id is the name of its service, or the value of the key that the
// Configuration names.
func Plan(d details.Details, k known, now time.Time) (r planned) {
	r.Devices, r.leaving = []discovery.Device{}, map[string]bool{}
	var (
		left     reasons
		byID     = map[string]candidate{}
		filtered int
	)
	for _, c := range merge(k.services) {
		c.text = attributes(c.Text)
		if !passes(d, c) {
			filtered++
			continue
		}
		name := c.Name.First()
		if c.at = best(d, c.Addresses); !c.at.IsValid() {
			left.add(name, fmt.Sprintf("its address %s is of another network: name that in networks", c.Addresses[0].WithZone("")))
			continue
		}
		if wait := addressWait - now.Sub(c.Since); wait > 0 && onlyOfLink(c.at) {
			if r.again == 0 || wait < r.again {
				r.again = wait
			}
			continue
		}
		if c.id = identity(d, c); c.id == "" {
			left.add(name, "it has no value of the key "+d.IdentityKey+" that could be its id: leave identityKey out, or exclude it")
			continue
		}
		other, taken := byID[c.id]
		switch {
		case !taken:
			byID[c.id] = c
		case precedes(c, other):
			byID[c.id] = c
			left.add(other.Name.First(), second(d, c))
		default:
			left.add(name, second(d, other))
		}
	}
	for id, c := range byID {
		r.Devices = append(r.Devices, device(d, c))
		if c.Leaving {
			r.leaving[id] = true
		}
	}
	slices.SortFunc(r.Devices, func(a, b discovery.Device) int { return cmp.Compare(a.ID, b.ID) })
	notes := slices.Clone(k.problems)
	var over int
	if r.Devices, over = fit.Devices(r.Devices, maxPropertyBytes); over > 0 {
		notes = append(notes, fmt.Sprintf(
			"%d devices are left out, those that say most of themselves: all take more than %d MiB; use filters, or txtProperties",
			over, maxPropertyBytes>>20))
	}
	if filtered > 0 && len(r.Devices) == 0 {
		notes = append(notes, fmt.Sprintf("no device passes the filters of discoveryDetails (of %d)", filtered))
	}
	notes = append(notes, left.texts()...)
	if k.mute > 0 {
		notes = append(notes, fmt.Sprintf("%d services are announced whose hosts do not answer: are they off?", k.mute))
	}
	r.Note = shorten.Text(strings.Join(notes, "; "), maxNoteBytes)
	return r
}

// merge returns each service once, also if it was heard on several interfaces, in
// the order of their names.
func merge(services []browse.Service) (list []candidate) {
	at := map[string]int{}
	for _, s := range services {
		key := s.Name.Key()
		n, there := at[key]
		switch {
		case !there:
			at[key] = len(list)
			list = append(list, candidate{Service: s})
		case precedes(candidate{Service: s}, list[n]):
			s.Addresses = slices.Concat(s.Addresses, list[n].Addresses)
			list[n].Service = s
		default:
			list[n].Addresses = slices.Concat(list[n].Addresses, s.Addresses)
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.Name.Key(), b.Name.Key()) })
	return list
}

// precedes tells whether a counts and not b, of two that have the same name or id:
// the one that stays, else the one that was there first.
func precedes(a, b candidate) bool {
	if a.Leaving != b.Leaving {
		return b.Leaving
	}
	if !a.Since.Equal(b.Since) {
		return a.Since.Before(b.Since)
	}
	return cmp.Or(cmp.Compare(a.Name.Key(), b.Name.Key()), cmp.Compare(a.Link, b.Link)) < 0
}

func second(d details.Details, first candidate) string {
	return fmt.Sprintf("it has the same %s as %s, which was there before and counts",
		d.IdentityKey, strconv.Quote(shorten.Text(first.Name.First(), 64)))
}

// passes tells whether a service is one that is looked for.
func passes(d details.Details, c candidate) bool {
	if !d.Instances.Pass(c.Name.First()) || !d.Hosts.PassHost(c.Host.String()) {
		return false
	}
	for key, f := range d.TXT {
		value, there := valueOf(c.text, key)
		if there && !f.Pass(value) || !there && !f.PassMissing() {
			return false
		}
	}
	return true
}

// identity returns the id of a device; "" if it has none.
func identity(d details.Details, c candidate) string {
	if d.IdentityKey == "" {
		return lowered(c.Name)
	}
	value, _ := valueOf(c.text, d.IdentityKey)
	if value == "" || !printable(value) {
		return ""
	}
	return lowered(c.Name.Parent()) + " " + value
}

// lowered returns a name as people write it, but for upper case, which may be
// written in one packet and not in another.
func lowered(n dnsmsg.Name) string { return dnsmsg.Name(n.Key()).String() }

// best returns the address at which a device is used: of IPv4 if it has one that
// is good on other networks, else such a one of IPv6, else one of the link. Of
// several, the one that it has longest.
func best(d details.Details, addresses []browse.Address) (best netip.Addr) {
	rank := func(a netip.Addr) int {
		switch {
		case a.IsLinkLocalUnicast() && a.Is4():
			return 2
		case a.IsLinkLocalUnicast():
			return 3
		case a.Is4():
			return 0
		}
		return 1
	}
	for _, a := range addresses {
		if !a.Near && !slices.ContainsFunc(d.Networks, func(p netip.Prefix) bool { return p.Contains(a.Addr) }) {
			continue
		}
		if !best.IsValid() || rank(a.Addr) < rank(best) {
			best = a.Addr
		}
	}
	return best
}

// onlyOfLink tells whether an address is good on one link only.
func onlyOfLink(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

func device(d details.Details, c candidate) discovery.Device {
	base := c.Name.Parent()
	service := strings.ToLower(base.First() + "." + base.Parent().First())
	properties := map[string]string{
		details.PropertyInstance: c.Name.First(), details.PropertyType: service, details.PropertyHost: c.Host.String(),
		details.PropertyAddress: c.at.String(), details.PropertyPort: strconv.Itoa(int(c.Port)),
	}
	addText(properties, d, c.text)
	return discovery.Device{ID: c.id, Properties: properties}
}
