package modbus

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/modbus/adu"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// maxDevices is how many devices a Configuration has at most, and
	// maxPropertyBytes how much all their properties take.
	maxDevices       = 1000
	maxPropertyBytes = 2 << 20
	maxNoteBytes     = 512 // bytes; agents show no more
)

// found is a unit that is a device.
type found struct {
	place  string // host:port/unit
	server *server
	unit   *unit
}

// Plan returns what there is to report, given what is known of each server, and the
// devices of the report before.
func Plan(d details.Details, servers []server, before []discovery.Device) discovery.Report {
	var r discovery.Report
	devices, notes := choose(d, servers, before)
	notes = append(notes, networkNotes(servers)...)
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		f := devices[id]
		r.Devices = append(r.Devices, discovery.Device{ID: id, Properties: properties(f.server, f.unit, d.Identity)})
	}
	var over, large int
	r.Devices, over = fit.Number(r.Devices, before, maxDevices)
	r.Devices, large = fit.Devices(r.Devices, maxPropertyBytes)
	if over += large; over > 0 {
		notes = slices.Insert(notes, 0, fmt.Sprintf(
			"%d devices are left out: there are more than %d, or their texts are too long; "+
				"name fewer servers or units, or filter", over, maxDevices))
	}
	r.Note = shorten.Text(strings.Join(notes, "; "), maxNoteBytes)
	return r
}

// choose returns the devices that a Configuration wants, by their ids, and notes.
// Of several with one id one counts that has not missed the last look, since the
// others may be where the device was before. Of these it is the one that was
// reported before, so that nobody takes its place by saying the same, else the
// first.
func choose(d details.Details, servers []server, before []discovery.Device) (devices map[string]found, notes []string) {
	devices = map[string]found{}
	notes = serverNotes(servers)
	filtered := 0
	present := map[string]string{} // the places of those that were reported
	for _, b := range before {
		p := b.Properties
		present[b.ID] = net.JoinHostPort(p[details.PropertyHost], p[details.PropertyPort]) + "/" + p[details.PropertyUnit]
	}
	for i := range servers {
		s := &servers[i]
		for j := range s.units {
			u := &s.units[j]
			if !u.there {
				continue
			}
			if !wants(d, u.says()) {
				filtered++
				continue
			}
			f := found{fmt.Sprintf("%s/%d", s.Address(), u.id), s, u}
			id, known := idOf(d.Identity, f.place, u)
			other, twice := devices[id]
			switch {
			case !known:
				notes = append(notes, f.place+" is left out: it does not say what devices are known by (identity)")
				continue
			case !twice:
				devices[id] = f
				continue
			case f.precedes(other, present[id]):
				devices[id] = f
				f, other = other, f
			}
			if f.unit.missed == 0 {
				notes = append(notes, fmt.Sprintf("%s and %s are both %.80q, and %s counts", other.place, f.place, id, other.place))
			}
		}
	}
	if len(devices) == 0 && filtered > 0 {
		notes = append(notes, fmt.Sprintf("no device passes the filters of discoveryDetails (of %d that answer)", filtered))
	}
	return devices, notes
}

// precedes tells whether f counts and not the other, which was found first; present
// is where the device was in the report before.
func (f found) precedes(other found, present string) bool {
	if a, b := f.unit.missed > 0, other.unit.missed > 0; a != b {
		return b
	}
	return f.place == present
}

// says returns what a unit says of itself.
func (u *unit) says() adu.Identification {
	if u.identity == nil {
		return adu.Identification{}
	}
	return *u.identity
}

// wants tells whether a Configuration wants a device.
func wants(d details.Details, says adu.Identification) bool {
	return d.Vendors.Passes(says.Objects[adu.VendorName]) && d.Codes.Passes(says.Objects[adu.ProductCode]) &&
		d.Products.Passes(says.Objects[adu.ProductName]) && d.Models.Passes(says.Objects[adu.ModelName])
}

// idOf returns the id of the device at a place; false if it does not say what
// devices are known by.
func idOf(by details.Identity, place string, u *unit) (id string, ok bool) {
	switch {
	case by == details.ByAddress:
		return place, true
	case by == details.ByApplication:
		id = u.says().Objects[adu.UserApplicationName]
	default:
		id = u.says().Private
	}
	return id, id != ""
}

func properties(s *server, u *unit, by details.Identity) map[string]string {
	all := map[string]string{
		details.PropertyHost: s.Host, details.PropertyPort: strconv.Itoa(int(s.Port)),
		details.PropertyUnit: strconv.Itoa(int(u.id)), details.PropertyFoundBy: u.foundBy,
	}
	if u.identity == nil {
		return all
	}
	for number, name := range []string{
		adu.VendorName: details.PropertyVendor, adu.ProductCode: details.PropertyCode,
		adu.MajorMinorRevision: details.PropertyRevision, adu.VendorURL: details.PropertyURL,
		adu.ProductName: details.PropertyProduct, adu.ModelName: details.PropertyModel,
		adu.UserApplicationName: details.PropertyApplication,
	} {
		if text := u.identity.Objects[number]; text != "" {
			all[name] = text
		}
	}
	all[details.PropertyConformity] = fmt.Sprintf("%#02x", u.identity.Conformity)
	if by >= details.FirstPrivate && u.identity.Private != "" {
		all[details.PropertyObject+strconv.Itoa(int(by))] = u.identity.Private
	}
	return all
}

// serverNotes says what is wrong with servers; what is the same of several is said
// once, with the first of them.
func serverNotes(servers []server) (notes []string) {
	const most = 3
	places := map[string][]string{}
	for i := range servers {
		for _, problem := range servers[i].notes() {
			if places[problem] == nil {
				notes = append(notes, problem)
			}
			places[problem] = append(places[problem], servers[i].Address())
		}
	}
	for i, problem := range notes {
		at := places[problem]
		if more := len(at) - most; more > 1 {
			at = append(at[:most:most], fmt.Sprintf("%d others", more))
		}
		notes[i] = enumerate(at) + ": " + problem
	}
	return notes
}

// enumerate writes a list of at least one as people do: a, b and c.
func enumerate(all []string) string {
	last := len(all) - 1
	if last == 0 {
		return all[0]
	}
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

// notes says what is wrong with a server, in a few sentences. In a network nobody
// need be there.
func (s *server) notes() []string {
	switch {
	case s.Network != "" && !s.reached:
		return nil
	case !s.looked:
		return []string{"not all is known yet"}
	case s.problem != "":
		return []string{s.problem}
	}
	var problems []string // in the order of the units
	ids := map[string][]byte{}
	for _, u := range s.units {
		problem := u.problem
		if u.asked.IsZero() {
			problem = notAsked
		}
		if problem == "" {
			continue
		}
		if ids[problem] == nil {
			problems = append(problems, problem)
		}
		ids[problem] = append(ids[problem], u.id)
	}
	for i, problem := range problems {
		problems[i] = fmt.Sprintf("%s: %s", ranges(ids[problem]), problem)
	}
	return problems
}

// notAsked is of units whose turn has not come.
const notAsked = "not asked yet"

// ranges writes units as people do, in few characters: unit 1, units 1-3 and 7.
func ranges(ids []byte) string {
	const most = 4
	var parts []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		part := strconv.Itoa(int(ids[i]))
		if j > i {
			part += "-" + strconv.Itoa(int(ids[j]))
		}
		parts = append(parts, part)
		i = j + 1
	}
	word := "units "
	if len(ids) == 1 {
		word = "unit "
	}
	if len(parts) > most {
		parts = append(parts[:most-1], "others")
	}
	return word + enumerate(parts)
}

// networkNotes says of which networks no address answers.
func networkNotes(servers []server) (notes []string) {
	var networks []string
	total, looked, reached := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range servers {
		s := &servers[i]
		if s.Network == "" {
			continue
		}
		if total[s.Network] == 0 {
			networks = append(networks, s.Network)
		}
		total[s.Network]++
		if s.looked {
			looked[s.Network]++
		}
		if s.reached {
			reached[s.Network]++
		}
	}
	for _, network := range networks {
		switch {
		case looked[network] < total[network]:
			notes = append(notes, network+": not all is known yet")
		case reached[network] == 0:
			notes = append(notes, fmt.Sprintf("%s: none of its %d addresses takes a connection: "+
				"is it the right network, and does a firewall or network policy let this node reach it?", network, total[network]))
		}
	}
	return notes
}
