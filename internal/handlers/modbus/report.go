package modbus

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/discovery"
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

// Plan returns what there is to report, given what is known of each server.
func Plan(d details.Details, servers []server) discovery.Report {
	var r discovery.Report
	devices, notes := choose(d, servers)
	notes = append(notes, networkNotes(servers)...)
	size, over := 0, 0
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		f := devices[id]
		device := discovery.Device{ID: id, Properties: properties(f.server, f.unit, d.Identity)}
		if size += bytesOf(device); len(r.Devices) == maxDevices || size > maxPropertyBytes {
			over++
			continue
		}
		r.Devices = append(r.Devices, device)
	}
	if over > 0 {
		notes = slices.Insert(notes, 0, fmt.Sprintf(
			"%d devices are left out: there are more than %d, or their texts are too long; "+
				"name fewer servers or units, or filter", over, maxDevices))
	}
	r.Note = shorten.Text(strings.Join(notes, "; "), maxNoteBytes)
	return r
}

// choose returns the devices that a Configuration wants, by their ids, and notes.
// Of two with one id the first counts that has not missed the last look: the other
// may be where the device was before.
func choose(d details.Details, servers []server) (devices map[string]found, notes []string) {
	devices = map[string]found{}
	notes = serverNotes(servers)
	for i := range servers {
		s := &servers[i]
		for j := range s.units {
			u := &s.units[j]
			if !u.there || !wants(d, u.says()) {
				continue
			}
			f := found{fmt.Sprintf("%s/%d", s.Address(), u.id), s, u}
			id, known := idOf(d.Identity, f.place, u)
			first, twice := devices[id]
			switch {
			case !known:
				notes = append(notes, f.place+" is left out: it does not say what devices are known by (identity)")
			case !twice || first.unit.missed > 0 && u.missed == 0:
				devices[id] = f
			case u.missed == 0:
				notes = append(notes, fmt.Sprintf("%s and %s are both %.80q, the first counts", first.place, f.place, id))
			}
		}
	}
	return devices, notes
}

func bytesOf(d discovery.Device) int {
	n := len(d.ID)
	for name, value := range d.Properties {
		n += len(name) + len(value)
	}
	return n
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
